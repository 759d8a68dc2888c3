/**
 * Weights for tests, from an integer hash: any program computes them bit for bit, so models of any size need no storage.
 * scripts/golden/convert_reference.py has the same function in Python.
 */
export interface HashWeights {
  /** Top bits of the hash that are used, as a signed number: 8 are exact in bf16, 11 in f16, 24 in f32. */
  bits: number
  /** Values lie within `offset` ± 2^exponent. */
  exponent: number
  offset: number
}

export type WeightType = 'F32' | 'F16' | 'BF16'

export const WEIGHT_BYTES: Readonly<Record<WeightType, number>> = { F32: 4, F16: 2, BF16: 2 }

/** The 32-bit FNV-1a hash of a name's UTF-8 bytes. */
function fnv1a(name: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(name, 'utf8')) value = Math.imul(value ^ byte, 0x01000193)
  return value
}

/**
 * Fills `target` with the values `start`, `start + 1`, … of the tensor `name`. Each is offset + k * 2^(exponent - bits + 1),
 * where k is the signed number in the top bits of murmur3's finaliser of (element * golden ratio + hash of the name).
 */
export function fillHashWeights(target: Float32Array, name: string, start: number, weights: HashWeights): void {
  const { bits, exponent, offset } = weights
  const seed = fnv1a(name)
  const shift = 32 - bits
  const half = 2 ** (bits - 1)
  const step = 2 ** (exponent - bits + 1)
  for (let i = 0; i < target.length; i++) {
    let x = (Math.imul(start + i, 0x9e3779b9) + seed) | 0
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    x ^= x >>> 16
    target[i] = offset + ((x >>> shift) - half) * step
  }
}

/** The same values as the bytes of a checkpoint. They are exact in `type` if `bits` suits it. */
export function hashWeightBytes(
  type: WeightType,
  name: string,
  { start, count, weights }: { start: number; count: number; weights: HashWeights },
): Uint8Array {
  const values = new Float32Array(count)
  fillHashWeights(values, name, start, weights)
  if (type === 'F32') return new Uint8Array(values.buffer)
  const words = new Uint32Array(values.buffer)
  const halves = new Uint16Array(count)
  // A loop, because Uint16Array.from with a function takes ten times as long.
  if (type === 'BF16') for (let i = 0; i < count; i++) halves[i] = (words[i] ?? 0) >>> 16
  else for (let i = 0; i < count; i++) halves[i] = toHalf(words[i] ?? 0)
  return new Uint8Array(halves.buffer)
}

/** Bits of an f32 to those of an f16, for values that f16 holds exactly. */
function toHalf(word: number): number {
  const sign = (word >>> 16) & 0x8000
  const exponent = ((word >>> 23) & 0xff) - 112
  const mantissa = word & 0x7fffff
  if (exponent > 0) return sign | (exponent << 10) | (mantissa >>> 13)
  // Below 2^-14 the implicit one moves into the mantissa; zero stays zero.
  return (word & 0x7fffffff) === 0 ? sign : sign | ((mantissa | 0x800000) >>> (14 - exponent))
}
