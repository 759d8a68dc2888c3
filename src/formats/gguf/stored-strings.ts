import { isUtf8 } from 'node:buffer'
import type { GgufText } from './types.ts'

/** A string, or its bytes where they are not valid UTF-8. */
export function decodeText(bytes: Buffer, start: number, end: number): GgufText {
  const text = bytes.toString('utf8', start, end)
  if (!text.includes('\uFFFD')) return text
  const part = bytes.subarray(start, end)
  return isUtf8(part) ? text : Uint8Array.from(part)
}

/**
 * The strings of an array where they were read. They are decoded when somebody asks for them: a model of ours has its
 * vocabulary a second time in its tokenizer, and 300,000 strings take 0.1 s.
 */
export class StoredStrings {
  readonly type = 'array'
  readonly items = 'string'
  readonly length: number
  #runs: { bytes: Buffer; start: number; count: number }[] = []
  #decoded: GgufText[] | undefined

  constructor(length: number) {
    this.length = length
  }

  /** The next `count` strings, which lie in `bytes` from `start` on, each behind its length; `bytes` must not change. */
  add(bytes: Buffer, start: number, count: number): void {
    this.#runs.push({ bytes, start, count })
  }

  get value(): readonly GgufText[] {
    if (this.#decoded !== undefined) return this.#decoded
    const decoded: GgufText[] = []
    for (const { bytes, start, count } of this.#runs) {
      let at = start
      for (let i = 0; i < count; i++) {
        const text = at + 8
        // The upper half of a length is 0: no string is that long.
        at = text + bytes.readUInt32LE(at)
        decoded.push(decodeText(bytes, text, at))
      }
    }
    this.#decoded = decoded
    this.#runs = []
    return decoded
  }

  /** As any other array of a file. */
  toJSON(): object {
    return { type: this.type, items: this.items, value: this.value }
  }
}
