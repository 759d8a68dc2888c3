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
  #parts: { bytes: Buffer; first: number }[] = []
  #places: Uint32Array
  #count = 0
  #decoded: GgufText[] | undefined

  constructor(length: number) {
    this.length = length
    this.#places = new Uint32Array(2 * length)
  }

  /** The next string, which is `bytes[start, end)`; `bytes` must not change. */
  add(bytes: Buffer, start: number, end: number): void {
    if (this.#parts.at(-1)?.bytes !== bytes) this.#parts.push({ bytes, first: this.#count })
    this.#places[2 * this.#count] = start
    this.#places[2 * this.#count + 1] = end
    this.#count++
  }

  get value(): readonly GgufText[] {
    if (this.#decoded !== undefined) return this.#decoded
    const decoded: GgufText[] = []
    for (const [i, { bytes }] of this.#parts.entries()) {
      const end = this.#parts[i + 1]?.first ?? this.length
      while (decoded.length < end) {
        const at = 2 * decoded.length
        decoded.push(decodeText(bytes, this.#places[at] ?? 0, this.#places[at + 1] ?? 0))
      }
    }
    this.#decoded = decoded
    this.#parts = []
    this.#places = new Uint32Array()
    return decoded
  }

  /** As any other array of a file. */
  toJSON(): object {
    return { type: this.type, items: this.items, value: this.value }
  }
}
