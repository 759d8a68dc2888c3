import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { TandemError } from '../errors.ts'
import { fileKind, KIND_BYTES } from './file-kind.ts'
import { describeFileError, exists, readFully, requireFile } from './files.ts'
import type { SafetensorsEntry } from './safetensors-header.ts'
import { invalidSafetensors, MAX_HEADER_BYTES, parseHeader } from './safetensors-header.ts'
import { INDEX, readIndex, SINGLE } from './safetensors-index.ts'

export interface SafetensorsTensor extends SafetensorsEntry {
  /** Name of the file in its folder. */
  file: string
}

/** The tensors of a model folder, read piece by piece from one file or from several shards. */
export class Safetensors {
  /** By the names of the files, then by their own names: the order of llama.cpp's converter. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
  private readonly handles: ReadonlyMap<string, FileHandle>

  constructor(tensors: ReadonlyMap<string, SafetensorsTensor>, handles: ReadonlyMap<string, FileHandle>) {
    this.tensors = tensors
    this.handles = handles
  }

  /**
   * Fills `target` with the tensor's bytes from `position` on.
   * @throws TandemError `invalid-file` if the file has become shorter, `io`, `disposed`
   */
  async read(tensor: SafetensorsTensor, position: number, target: Uint8Array): Promise<void> {
    const handle = this.handles.get(tensor.file)
    if (handle === undefined || position < 0 || position + target.length > tensor.size) {
      throw new TandemError(
        'invalid-argument',
        `Bytes ${position} to ${position + target.length} of ${tensor.name} do not exist`,
      )
    }
    try {
      await fill(target, handle, { position: tensor.offset + position, file: tensor.file })
    } catch (cause) {
      throw describeFileError(cause, `${tensor.file} cannot be read`)
    }
  }

  /** Closes the files. Idempotent; that a file which was only read cannot be closed harms nobody. */
  async close(): Promise<void> {
    await closeAll(this.handles)
  }
}

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names, and checks them completely:
 * what is returned lies inside its file and covers it exactly.
 * @throws TandemError `not-found`, `invalid-file` or `io`
 */
export async function openSafetensors(directory: string): Promise<Safetensors> {
  const weightMap = (await exists(join(directory, SINGLE))) ? undefined : await readIndex(directory)
  const files = weightMap === undefined ? [SINGLE] : [...new Set(weightMap.values())].sort()
  const handles = new Map<string, FileHandle>()
  const tensors = new Map<string, SafetensorsTensor>()
  try {
    for (const file of files) {
      const handle = await openShard(directory, file, weightMap)
      handles.set(file, handle)
      for (const entry of await readHeader(handle, join(directory, file))) addTensor(tensors, entry, file, weightMap)
    }
    if (weightMap !== undefined) requireAll(weightMap, tensors)
    return new Safetensors(tensors, handles)
  } catch (cause) {
    await closeAll(handles)
    throw describeFileError(cause, `The weights in ${directory} cannot be read`)
  }
}

async function closeAll(handles: ReadonlyMap<string, FileHandle>): Promise<void> {
  await Promise.allSettled([...handles.values()].map((handle) => handle.close()))
}

async function openShard(
  directory: string,
  file: string,
  weightMap: Map<string, string> | undefined,
): Promise<FileHandle> {
  const path = join(directory, file)
  if (weightMap !== undefined && !(await exists(path))) {
    const count = [...weightMap.values()].filter((name) => name === file).length
    throw new TandemError('not-found', `Shard ${file} is missing: ${INDEX} says that it holds ${count} tensors`, {
      remedy: 'Complete the download of the model',
    })
  }
  await requireFile(path)
  return open(path, 'r')
}

async function readHeader(handle: FileHandle, path: string): Promise<SafetensorsEntry[]> {
  const file = basename(path)
  const { size } = await handle.stat()
  const start = Buffer.alloc(Math.min(KIND_BYTES, size))
  await fill(start, handle, { position: 0, file })
  const length = size < 8 ? 0n : start.readBigUInt64LE(0)
  const limit = Math.min(MAX_HEADER_BYTES, size - 8)
  if (length < 2n || length > BigInt(limit)) throw notSafetensors(file, start, `${length} of ${Math.max(limit, 0)}`)
  const header = Buffer.alloc(Number(length))
  await fill(header, handle, { position: 8, file })
  return parseHeader(header, size, file)
}

/** Says what stands in place of a header, where it is something well known. */
function notSafetensors(file: string, start: Uint8Array, length: string): TandemError {
  const kind = fileKind(start)
  if (kind === undefined) {
    return invalidSafetensors(file, 'has a bad header length', 'at least 2 bytes, within the file', length)
  }
  return new TandemError('invalid-file', `${file} is not a safetensors file`, {
    expected: 'the length of a header',
    received: kind.name,
    remedy: kind.remedy,
  })
}

function addTensor(
  tensors: Map<string, SafetensorsTensor>,
  entry: SafetensorsEntry,
  file: string,
  weightMap: Map<string, string> | undefined,
): void {
  const other = tensors.get(entry.name)
  if (other !== undefined)
    throw invalidSafetensors(file, `repeats ${entry.name}`, 'it in one shard', `it in ${other.file} too`)
  const shard = weightMap?.get(entry.name)
  if (weightMap !== undefined && shard !== file) {
    throw invalidSafetensors(file, `holds ${entry.name}`, `it in ${shard ?? 'no shard'}, as ${INDEX} says`, 'it here')
  }
  tensors.set(entry.name, { ...entry, file })
}

function requireAll(weightMap: Map<string, string>, tensors: Map<string, SafetensorsTensor>): void {
  for (const [name, file] of weightMap) {
    if (!tensors.has(name))
      throw invalidSafetensors(file, `lacks ${name}`, `it, as ${INDEX} says`, 'nothing of that name')
  }
}

async function fill(target: Uint8Array, handle: FileHandle, from: { position: number; file: string }): Promise<void> {
  if (await readFully(handle, target, from.position)) return
  throw invalidSafetensors(from.file, 'became shorter while it was read', 'more bytes', 'its end')
}
