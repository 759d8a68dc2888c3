import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { TandemError } from '../../errors.ts'
import { fileKind } from '../file-kind.ts'
import { readFully } from '../files.ts'
import { MAX_HEADER_BYTES, MAX_STRING_BYTES } from './limits.ts'
import { decodeText, type StoredStrings } from './stored-strings.ts'
import type { GgufText } from './types.ts'

/** One read brings in a header of usual size's worth of values; larger reads gain nothing (measured at 1 to 16 MiB). */
const WINDOW_BYTES = 1_048_576

/**
 * Walks forward through a file with a window over it. The getters are synchronous and work on bytes that {@link need}
 * has brought in, so that 300,000 strings cost no 300,000 promises.
 */
export class Cursor {
  readonly fileSize: number
  private readonly handle: FileHandle
  private readonly path: string
  private window = Buffer.alloc(0)
  /** The same bytes: in code that V8 still interprets, less than half the time that a buffer's own methods take. */
  private view = new DataView(new ArrayBuffer(0))
  private windowStart = 0
  private index = 0

  constructor(handle: FileHandle, path: string, fileSize: number) {
    this.handle = handle
    this.path = path
    this.fileSize = fileSize
  }

  /** Absolute position in the file. */
  get position(): number {
    return this.windowStart + this.index
  }

  get remaining(): number {
    return this.fileSize - this.position
  }

  has(bytes: number): boolean {
    return this.window.length - this.index >= bytes
  }

  /** Makes the next `bytes` bytes available; refuses what the file does not hold before anything is allocated. */
  async need(bytes: number, what: string): Promise<void> {
    if (this.has(bytes)) return
    if (bytes > this.remaining) {
      throw this.invalid(`is cut off in ${what} at byte ${this.position}`, `${bytes} more bytes`, `${this.remaining}`)
    }
    if (this.position + bytes > MAX_HEADER_BYTES) {
      throw this.invalid('has too much metadata', `at most ${MAX_HEADER_BYTES} bytes`, `more at ${what}`)
    }
    const length = Math.min(Math.max(bytes, WINDOW_BYTES), this.remaining)
    const window = Buffer.alloc(length)
    const start = this.position
    if (!(await readFully(this.handle, window, start))) {
      throw this.invalid('became shorter while it was read', `${this.fileSize} bytes`, 'less')
    }
    this.window = window
    this.view = new DataView(window.buffer, window.byteOffset, length)
    this.windowStart = start
    this.index = 0
  }

  uint8(): number {
    return this.view.getUint8(this.advance(1))
  }

  uint32(): number {
    return this.view.getUint32(this.advance(4), true)
  }

  /** A 64-bit count or length. Exact up to 2^53; anything above is only ever compared with a limit and refused. */
  size(): number {
    return sizeAt(this.view, this.advance(8))
  }

  /** The same without going on. */
  nextSize(): number {
    return sizeAt(this.view, this.index)
  }

  /** A copy of the next bytes, alone in its buffer, so that typed arrays of any width can look at it. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const start = this.advance(length)
    const copy = new Uint8Array(length)
    copy.set(this.window.subarray(start, start + length))
    return copy
  }

  text(length: number): GgufText {
    const start = this.advance(length)
    return decodeText(this.window, start, start + length)
  }

  /**
   * Passes strings on to where they are kept, as many of `count` as the window has whole with their lengths; returns how
   * many. No window is written to after it was read.
   */
  storeStrings(count: number, strings: StoredStrings): number {
    const { window, view, index: start } = this
    let stored = 0
    // One loop, since a vocabulary has 300,000.
    for (let end = start; stored < count && end + 8 <= window.length; stored++) {
      const length = sizeAt(view, end)
      end += 8 + length
      if (length > MAX_STRING_BYTES || end > window.length) break
      this.index = end
    }
    if (stored > 0) strings.add(window, start, stored)
    return stored
  }

  /** Length of the string or name that follows, against its limit and the rest of the file. */
  async length(limit: number, what: string): Promise<number> {
    await this.need(8, what)
    const length = this.size()
    if (length > limit) throw this.invalid(`has a ${what} that is too long`, `at most ${limit} bytes`, `${length}`)
    return length
  }

  async string(what: string, limit = MAX_STRING_BYTES): Promise<GgufText> {
    const length = await this.length(limit, what)
    await this.need(length, what)
    return this.text(length)
  }

  /** A string that is a name: readable, and not empty. */
  async name(what: string, limit: number): Promise<string> {
    const name = await this.string(what, limit)
    if (typeof name !== 'string') throw this.invalid(`has a ${what} that is not UTF-8`, 'UTF-8', 'other bytes')
    if (name === '') throw this.invalid(`has an empty ${what}`, 'at least one character', 'none')
    return name
  }

  invalid(problem: string, expected: string, received: string): TandemError {
    return new TandemError('invalid-file', `${basename(this.path)} ${problem}`, {
      expected,
      received,
      remedy: 'The file is damaged or was not written as GGUF; download or convert it again',
    })
  }

  /** The file is something else; its first bytes may say what. */
  notGguf(): TandemError {
    const kind = fileKind(this.window)
    return new TandemError('invalid-file', `${basename(this.path)} is not a GGUF file`, {
      expected: 'the magic bytes "GGUF"',
      received: kind?.name ?? `the bytes ${this.window.toString('hex', 0, 4)}`,
      remedy: kind?.remedy ?? 'Name a model folder or a GGUF file that tandem convert wrote',
    })
  }

  private advance(bytes: number): number {
    const start = this.index
    this.index += bytes
    return start
  }
}

function sizeAt(bytes: DataView, start: number): number {
  return bytes.getUint32(start, true) + bytes.getUint32(start + 4, true) * 2 ** 32
}
