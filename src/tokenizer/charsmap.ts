import { isUtf8 } from 'node:buffer'
import { TandemError } from '../errors.ts'

/**
 * SentencePiece's normalisation table, in base64: the size of a double-array trie in bytes, the trie, then the
 * replacements as texts that end with NUL. The crate `spm_precompiled` walks the trie without looking where it goes.
 * https://github.com/google/sentencepiece/blob/master/src/normalizer.cc (`DecodePrecompiledCharsMap`)
 * @throws TandemError `invalid-file` unless every walk stays inside the table
 */
export function requireSoundCharsmap(charsmap: unknown): void {
  const isBase64 = typeof charsmap === 'string' && charsmap.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(charsmap)
  const bytes = Buffer.from(isBase64 ? charsmap : '', 'base64')
  if (!isBase64 || bytes.toString('base64') !== charsmap) throw invalid('base64', 'other text')
  const size = bytes.length < 4 ? 0 : bytes.readUInt32LE(0)
  if (size < 4 || size > bytes.length - 4) throw invalid('the size of its trie', `${size} of ${bytes.length} bytes`)
  const units = Uint32Array.from({ length: Math.floor(size / 4) }, (_, i) => bytes.readUInt32LE(4 + i * 4))
  const texts = bytes.subarray(4 + units.length * 4)
  if (!isUtf8(texts)) throw invalid('replacements in UTF-8', 'other bytes')
  requireSoundTrie(units, texts)
}

/** Follows every byte that a text can hold from every unit that can be reached. */
function requireSoundTrie(units: Uint32Array, texts: Uint8Array): void {
  const start = offsetOf(units[0] ?? 0)
  const seen = new Set([start])
  const pending = [start]
  for (let base = pending.pop(); base !== undefined; base = pending.pop()) {
    for (let byte = 1; byte < 256; byte++) {
      const unit = units[base ^ byte]
      if (unit === undefined) throw invalid(`a trie of more than ${base ^ byte} units`, `${units.length}`)
      if ((unit & LABEL) >>> 0 !== byte) continue
      const target = base ^ byte ^ offsetOf(unit)
      if ((unit & HAS_LEAF) !== 0) requireText(units[target], texts)
      if (seen.has(target)) continue
      seen.add(target)
      pending.push(target)
    }
  }
}

/** `Darts::DoubleArrayUnit`: a label with the bit that marks leaves, whether a leaf follows, and where. */
const LABEL = 0x800000ff
const HAS_LEAF = 0x100

function offsetOf(unit: number): number {
  return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0
}

/** A leaf holds where its replacement begins: at the start of a character. */
function requireText(leaf: number | undefined, texts: Uint8Array): void {
  const at = leaf === undefined ? -1 : leaf & 0x7fffffff
  const first = texts[at]
  if (first === undefined || (first & 0xc0) === 0x80) throw invalid(`places below ${texts.length}`, `${at}`)
}

function invalid(expected: string, received: string): TandemError {
  return new TandemError('invalid-file', 'tokenizer.json has a broken precompiled_charsmap', { expected, received })
}
