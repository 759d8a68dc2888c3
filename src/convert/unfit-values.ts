import { TandemError } from '../errors.ts'
import { GGML_TYPES, typeName } from '../formats/gguf/types.ts'
import type { SourceTensor } from './source.ts'

/** Largest bits, without the sign, of a value that a type can hold: all that is finite, or what half precision takes. */
const LARGEST_FINITE = 0x7f7fffff
const LARGEST_HALF = 0x477fe000
const LARGEST_FINITE_HALF = 0x7bff

/** Pieces in which a tensor is read only to be counted. */
const CHUNK_BYTES = 4_194_304

/**
 * Counts the values of a piece of f32, f16 or bf16 that are NaN or infinite, or would become infinite in type `to`: half
 * precision ends at 65504, and the blocks of quantised types keep their scales in it. 0 for any other source type, whose
 * blocks the addon checks as it converts them.
 */
export function countUnfit(bytes: Uint8Array, from: number, to: number): number {
  const isWide = to === GGML_TYPES.f32 || to === GGML_TYPES.bf16
  const limit = isWide ? LARGEST_FINITE : LARGEST_HALF
  if (from === GGML_TYPES.f32)
    return countAbove(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4), limit, 0x7fffffff)
  const words = () => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  if (from === GGML_TYPES.f16) return countAbove(words(), LARGEST_FINITE_HALF, 0x7fff)
  if (from === GGML_TYPES.bf16) return countAbove(words(), limit >>> 16, 0x7fff)
  return 0
}

function countAbove(words: Uint32Array | Uint16Array, limit: number, mask: number): number {
  let count = 0
  for (let i = 0; i < words.length; i++) if (((words[i] ?? 0) & mask) > limit) count++
  return count
}

/** The same for a whole tensor. */
export async function countUnfitIn(tensor: SourceTensor, to: number): Promise<number> {
  const buffer = new Uint8Array(Math.min(tensor.sourceSize, CHUNK_BYTES))
  let count = 0
  for (let position = 0; position < tensor.sourceSize; position += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, tensor.sourceSize - position))
    await tensor.read(position, piece)
    count += countUnfit(piece, tensor.sourceType, to)
  }
  return count
}

/** Values of f16 or bf16 as f32, NaN and infinity included, which ggml's conversion refuses. */
export function widened(bytes: Uint8Array, from: number): Uint8Array {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  if (from === GGML_TYPES.bf16) return new Uint8Array(Uint32Array.from(words, (word) => word << 16).buffer)
  return new Uint8Array(Float32Array.from(words, halfValue).buffer)
}

/** IEEE 754-2008, binary16. */
function halfValue(word: number): number {
  const sign = word & 0x8000 ? -1 : 1
  const exponent = (word >>> 10) & 0x1f
  const fraction = word & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (0x400 + fraction) * 2 ** (exponent - 25)
}

export function unfitValues(name: string, count: number, to: number): TandemError {
  return new TandemError('invalid-file', `${name} cannot become ${typeName(to)}`, {
    expected: to === GGML_TYPES.f32 || to === GGML_TYPES.bf16 ? 'finite values' : 'finite values of at most 65504',
    received: `${count} that are not`,
    remedy:
      'The weights are damaged, or the model needs a wider type (f32, bf16); --allow-nonfinite (allowNonfinite) keeps such tensors as they are, in f32',
  })
}
