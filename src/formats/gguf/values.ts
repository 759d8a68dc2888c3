import type { GgufArray, GgufItemType, GgufValue } from './types.ts'

/**
 * A value from its bytes in the file; undefined if a truth value is neither 0 nor 1. Typed arrays read the machine's
 * byte order, which is little-endian, as the file's is, wherever Node.js and ggml run together.
 */
export function decodeScalar(
  type: Exclude<GgufItemType, 'string'>,
  bytes: Uint8Array<ArrayBuffer>,
): GgufValue | undefined {
  const array = decodeNumbers(type, bytes)
  if (array === undefined || array.items === 'string') return undefined
  if (array.items === 'bool') return array.value[0] === undefined ? undefined : { type: 'bool', value: array.value[0] }
  if (array.items === 'uint64' || array.items === 'int64') return { type: array.items, value: array.value[0] ?? 0n }
  return { type: array.items, value: array.value[0] ?? 0 }
}

/** An array of fixed-width values from its bytes; undefined if a truth value is neither 0 nor 1. */
export function decodeNumbers(
  items: Exclude<GgufItemType, 'string'>,
  bytes: Uint8Array<ArrayBuffer>,
): GgufArray | undefined {
  const { buffer } = bytes
  switch (items) {
    case 'uint8':
      return { type: 'array', items, value: bytes }
    case 'int8':
      return { type: 'array', items, value: new Int8Array(buffer) }
    case 'uint16':
      return { type: 'array', items, value: new Uint16Array(buffer) }
    case 'int16':
      return { type: 'array', items, value: new Int16Array(buffer) }
    case 'uint32':
      return { type: 'array', items, value: new Uint32Array(buffer) }
    case 'int32':
      return { type: 'array', items, value: new Int32Array(buffer) }
    case 'float32':
      return { type: 'array', items, value: new Float32Array(buffer) }
    case 'float64':
      return { type: 'array', items, value: new Float64Array(buffer) }
    case 'uint64':
      return { type: 'array', items, value: new BigUint64Array(buffer) }
    case 'int64':
      return { type: 'array', items, value: new BigInt64Array(buffer) }
    case 'bool':
      return bytes.every((byte) => byte <= 1)
        ? { type: 'array', items, value: Array.from(bytes, (byte) => byte === 1) }
        : undefined
  }
}
