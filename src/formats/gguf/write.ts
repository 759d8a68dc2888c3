import type { FileHandle } from 'node:fs/promises'
import { open, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TandemError } from '../../errors.ts'
import { describeFileError, systemCode } from '../files.ts'
import { partialName, removeAbandoned } from '../partial-file.ts'
import { encodeHeader } from './encode.ts'
import type { GgufTensorInfo, GgufValue } from './types.ts'
import { alignUp, tensorBytes } from './types.ts'

export interface GgufContents<T extends GgufTensorInfo> {
  metadata: ReadonlyMap<string, GgufValue>
  /** In the order of the file. */
  tensors: readonly T[]
}

export interface WriteOptions<T extends GgufTensorInfo> {
  /** The bytes of a tensor, in pieces of any size that add up to the tensor's size. */
  data: (tensor: T) => AsyncIterable<Uint8Array>
  signal?: AbortSignal | undefined
}

/**
 * Writes a GGUF file of version 3 under a name of its own, flushes it to the disk and renames it, so that under its final
 * name there is only ever a complete file, whatever happens in between and whoever writes there, too.
 * @returns size of the file in bytes
 * @throws TandemError `invalid-argument`, `not-found`, `io` or `aborted`; then nothing is left
 */
export async function writeGguf<T extends GgufTensorInfo>(
  path: string,
  contents: GgufContents<T>,
  options: WriteOptions<T>,
): Promise<number> {
  const sizes = contents.tensors.map(sizeOf)
  const header = encodeHeader(contents.metadata, contents.tensors, sizes)
  const total = sizes.reduce((sum, size) => sum + alignUp(size, header.alignment), header.length)
  await removeAbandoned(path)
  await requireRoom(path, total)
  const part = partialName(path)
  const handle = await create(part)
  try {
    const file = new Sink(handle, part, options.signal)
    for (const piece of header.pieces) await file.write(piece)
    for (const [index, tensor] of contents.tensors.entries()) {
      await copyTensor(file, tensor, sizes[index] ?? 0, options.data(tensor))
      await file.write(Buffer.alloc(alignUp(file.position, header.alignment) - file.position))
    }
    await file.end()
    await publish(handle, part, path)
    return total
  } catch (cause) {
    const error = await describeWriteError(cause, path, total)
    await discard(handle, part)
    throw error
  } finally {
    // What was written has been flushed, or is gone: nothing depends on this.
    await handle.close().catch(() => undefined)
  }
}

/** So much is written before the disk is asked to take it, while the next values are computed. */
const FLUSHED_BYTES = 67_108_864

/** Writes at the end of a file and notices short writes and aborts. */
class Sink {
  position = 0
  private flushed = 0
  private flushing: Promise<void> | undefined
  private flushFailure: unknown
  private readonly handle: FileHandle
  private readonly path: string
  private readonly signal: AbortSignal | undefined

  constructor(handle: FileHandle, path: string, signal: AbortSignal | undefined) {
    this.handle = handle
    this.path = path
    this.signal = signal
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.signal?.aborted === true) {
      throw new TandemError('aborted', `Writing ${this.path} was aborted`, { cause: this.signal.reason })
    }
    if (this.flushFailure !== undefined) throw this.flushFailure
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.handle.write(bytes, written, bytes.length - written, this.position)
      if (bytesWritten === 0) throw new TandemError('io', `${this.path} takes no more bytes at ${this.position}`)
      written += bytesWritten
      this.position += bytesWritten
    }
    if (this.position - this.flushed >= FLUSHED_BYTES && this.flushing === undefined) this.flush()
  }

  /** When this returns, no flush is under way. */
  async end(): Promise<void> {
    await this.flushing
    if (this.flushFailure !== undefined) throw this.flushFailure
  }

  /** Ahead of the flush of the whole file, which then has little left to wait for. */
  private flush(): void {
    this.flushed = this.position
    this.flushing = this.handle
      .datasync()
      .catch((cause: unknown) => {
        this.flushFailure = cause
      })
      .finally(() => {
        this.flushing = undefined
      })
  }
}

function sizeOf(tensor: GgufTensorInfo): number {
  const size = tensorBytes(tensor.type, tensor.shape)
  if (size === undefined) {
    throw new TandemError('invalid-argument', `Tensor ${tensor.name} has no size in type ${tensor.type}`, {
      expected: 'rows of whole blocks',
      received: `[${tensor.shape.join(', ')}]`,
    })
  }
  return size
}

async function copyTensor(
  file: Sink,
  tensor: GgufTensorInfo,
  size: number,
  data: AsyncIterable<Uint8Array>,
): Promise<void> {
  const start = file.position
  for await (const bytes of data) await file.write(bytes)
  const written = file.position - start
  if (written !== size) {
    throw new TandemError('invalid-argument', `The data of ${tensor.name} has the wrong size`, {
      expected: `${size} bytes`,
      received: `${written}`,
    })
  }
}

/** Says before the work that a disk is too small; the check at each write stays, since others write as well. */
async function requireRoom(path: string, total: number): Promise<void> {
  const folder = dirname(path)
  try {
    const existing = await stat(path).catch(() => undefined)
    if (existing?.isDirectory() === true) {
      throw new TandemError('invalid-argument', `${path} is a directory`, {
        remedy: 'Name the file to write, for example model.gguf in that directory',
      })
    }
    const free = await freeBytes(folder)
    if (free < total) throw diskFull(path, total, free)
  } catch (cause) {
    throw describeFileError(cause, `${path} cannot be written: its directory ${folder} cannot be used`)
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

function diskFull(path: string, total: number, free: number, cause?: unknown): TandemError {
  return new TandemError('io', `The disk of ${dirname(path)} is too full for ${path} (ENOSPC)`, {
    expected: `${total} free bytes`,
    received: `${free}`,
    remedy: 'Free some space or choose another place',
    cause,
  })
}

/** Another program can fill the disk in the middle of the work: what is free then is what counts. */
async function describeWriteError(cause: unknown, path: string, total: number): Promise<unknown> {
  const free = systemCode(cause) === 'ENOSPC' ? await freeBytes(dirname(path)).catch(() => undefined) : undefined
  return free === undefined ? describeFileError(cause, `${path} cannot be written`) : diskFull(path, total, free, cause)
}

/** A new file, never one that is there; a link planted under that name is not followed. */
async function create(part: string): Promise<FileHandle> {
  try {
    return await open(part, 'wx')
  } catch (cause) {
    throw describeFileError(cause, `${part} cannot be created`)
  }
}

async function publish(handle: FileHandle, part: string, path: string): Promise<void> {
  await handle.sync()
  if (!(await isSameFile(handle, part))) {
    throw new TandemError('io', `${part} was removed or replaced while it was written`, { remedy: 'Convert again' })
  }
  await rename(part, path)
  await syncDirectory(dirname(path))
}

async function isSameFile(handle: FileHandle, path: string): Promise<boolean> {
  const [ours, there] = await Promise.all([
    handle.stat({ bigint: true }),
    stat(path, { bigint: true }).catch((cause: unknown) => {
      if (systemCode(cause) === 'ENOENT') return undefined
      throw cause
    }),
  ])
  return there !== undefined && ours.ino === there.ino && ours.dev === there.dev
}

/** The rename itself survives a power loss only once the directory is flushed. Windows cannot open directories. */
async function syncDirectory(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Removes what was begun, unless somebody else has put a file there; the first error is the one to report. */
async function discard(handle: FileHandle, part: string): Promise<void> {
  if (await isSameFile(handle, part).catch(() => false)) await rm(part, { force: true }).catch(() => undefined)
}
