import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FolderDescription, type FolderTensor, golden, makeFolder } from '../golden/convert-folder.ts'

export type FolderName =
  | 'qwen2-tied-bf16-sharded'
  | 'qwen2-untied-f32-odd-rows'
  | 't5-gated-head-unscaled'
  | 't5-relu-tied-f32-odd-rows'
  | 'umt5-gated-tied-bf16'

export interface FolderChanges {
  /** Fields to set in config.json; undefined removes one. */
  config?: Record<string, unknown>
  tensors?: (tensors: FolderTensor[]) => FolderTensor[]
}

/** A golden model with something changed, in a folder of its own below `directory`. */
export async function changedFolder(
  directory: string,
  name: FolderName,
  { config = {}, tensors = (same) => same }: FolderChanges = {},
): Promise<string> {
  const { folder } = JSON.parse(await readFile(golden(`${name}.json`), 'utf8')) as { folder: FolderDescription }
  const given = JSON.parse(folder.files['config.json'] ?? '{}') as Record<string, unknown>
  folder.files['config.json'] = JSON.stringify({ ...given, ...config })
  folder.shards = folder.shards.map((shard) => ({ ...shard, tensors: tensors(shard.tensors) }))
  return makeFolder(join(directory, name), folder)
}
