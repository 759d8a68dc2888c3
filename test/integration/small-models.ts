import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FolderDescription, golden, makeFolder } from '../golden/convert-folder.ts'
import { readJson } from '../golden/reference.ts'

/** Models of a few thousand random weights, as Hugging Face folders, and an empty cache. */
export interface SmallModels {
  directory: string
  cache: string
  t5: string
  qwen: string
  remove(): Promise<void>
}

export async function makeSmallModels(): Promise<SmallModels> {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-small-'))
  const make = (name: string, description: string) =>
    makeFolder(join(directory, name), readJson<{ folder: FolderDescription }>(golden(`${description}.json`)).folder)
  const t5 = await make('small-t5', 't5-relu-tied-f32-odd-rows')
  const special = { decoder_start_token_id: 0, eos_token_id: 1, pad_token_id: 0 }
  await writeFile(join(t5, 'generation_config.json'), JSON.stringify(special))
  return {
    directory,
    cache: join(directory, 'cache'),
    t5,
    qwen: await make('small-qwen', 'qwen2-untied-f32-odd-rows'),
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
