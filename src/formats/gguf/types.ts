/** Names, numbers and shapes of the GGUF format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

/** Value types in the order of their numbers in a file. */
export const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const

export type GgufValueType = (typeof VALUE_TYPES)[number]
export type GgufItemType = Exclude<GgufValueType, 'array'>
export type GgufNumberType = Exclude<GgufItemType, 'bool' | 'string' | 'uint64' | 'int64'>

/** A string of the file: bytes where it is not valid UTF-8 (tokens of some vocabularies), so that nothing is lost. */
export type GgufText = string | Uint8Array

export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array

export type GgufArray =
  | { type: 'array'; items: GgufNumberType; value: GgufNumbers }
  | { type: 'array'; items: 'uint64'; value: BigUint64Array }
  | { type: 'array'; items: 'int64'; value: BigInt64Array }
  | { type: 'array'; items: 'bool'; value: readonly boolean[] }
  | { type: 'array'; items: 'string'; length?: number; value: readonly GgufText[] }

/** A metadata value with the type that it has in the file. */
export type GgufValue =
  | { type: GgufNumberType; value: number }
  | { type: 'uint64' | 'int64'; value: bigint }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: GgufText }
  | GgufArray

/** Bytes of one value; strings and arrays have their own length. */
export const VALUE_BYTES: Readonly<Record<Exclude<GgufItemType, 'string'>, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
}

export interface GgufTensorInfo {
  name: string
  /** `ggml_type` number, a key of {@link TENSOR_TYPES}. */
  type: number
  /** ggml order: the row length first; 1 to 4 entries. */
  shape: number[]
}

export interface GgufTensor extends GgufTensorInfo {
  /** Absolute offset in the file, bytes. */
  offset: number
  /** Bytes in the file, without padding. */
  size: number
}

/** Everything of a GGUF file but the tensors' data. */
export interface GgufFile {
  version: number
  alignment: number
  metadata: Map<string, GgufValue>
  tensors: GgufTensor[]
}

export interface TensorType {
  name: string
  /** Values that are stored together; a row is a whole number of blocks. */
  blockSize: number
  /** Bytes of a block. */
  typeSize: number
}

/** Types of tensors by their `ggml_type` number. Missing numbers were removed from ggml and are refused by it. */
export const TENSOR_TYPES: ReadonlyMap<number, TensorType> = new Map([
  [0, { name: 'f32', blockSize: 1, typeSize: 4 }],
  [1, { name: 'f16', blockSize: 1, typeSize: 2 }],
  [2, { name: 'q4_0', blockSize: 32, typeSize: 18 }],
  [3, { name: 'q4_1', blockSize: 32, typeSize: 20 }],
  [6, { name: 'q5_0', blockSize: 32, typeSize: 22 }],
  [7, { name: 'q5_1', blockSize: 32, typeSize: 24 }],
  [8, { name: 'q8_0', blockSize: 32, typeSize: 34 }],
  [9, { name: 'q8_1', blockSize: 32, typeSize: 36 }],
  [10, { name: 'q2_k', blockSize: 256, typeSize: 84 }],
  [11, { name: 'q3_k', blockSize: 256, typeSize: 110 }],
  [12, { name: 'q4_k', blockSize: 256, typeSize: 144 }],
  [13, { name: 'q5_k', blockSize: 256, typeSize: 176 }],
  [14, { name: 'q6_k', blockSize: 256, typeSize: 210 }],
  [15, { name: 'q8_k', blockSize: 256, typeSize: 292 }],
  [16, { name: 'iq2_xxs', blockSize: 256, typeSize: 66 }],
  [17, { name: 'iq2_xs', blockSize: 256, typeSize: 74 }],
  [18, { name: 'iq3_xxs', blockSize: 256, typeSize: 98 }],
  [19, { name: 'iq1_s', blockSize: 256, typeSize: 50 }],
  [20, { name: 'iq4_nl', blockSize: 32, typeSize: 18 }],
  [21, { name: 'iq3_s', blockSize: 256, typeSize: 110 }],
  [22, { name: 'iq2_s', blockSize: 256, typeSize: 82 }],
  [23, { name: 'iq4_xs', blockSize: 256, typeSize: 136 }],
  [24, { name: 'i8', blockSize: 1, typeSize: 1 }],
  [25, { name: 'i16', blockSize: 1, typeSize: 2 }],
  [26, { name: 'i32', blockSize: 1, typeSize: 4 }],
  [27, { name: 'i64', blockSize: 1, typeSize: 8 }],
  [28, { name: 'f64', blockSize: 1, typeSize: 8 }],
  [29, { name: 'iq1_m', blockSize: 256, typeSize: 56 }],
  [30, { name: 'bf16', blockSize: 1, typeSize: 2 }],
  [34, { name: 'tq1_0', blockSize: 256, typeSize: 54 }],
  [35, { name: 'tq2_0', blockSize: 256, typeSize: 66 }],
  [39, { name: 'mxfp4', blockSize: 32, typeSize: 17 }],
  [40, { name: 'nvfp4', blockSize: 64, typeSize: 36 }],
  [41, { name: 'q1_0', blockSize: 128, typeSize: 18 }],
  [42, { name: 'q2_0', blockSize: 64, typeSize: 18 }],
])

/** `ggml_type` numbers of what a conversion writes. */
export const GGML_TYPES = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  q2_k: 10,
  q3_k: 11,
  q4_k: 12,
  q5_k: 13,
  q6_k: 14,
  iq4_nl: 20,
  iq4_xs: 23,
  bf16: 30,
  mxfp4: 39,
} as const

export type WrittenType = keyof typeof GGML_TYPES

/**
 * Bytes of a tensor without padding; undefined if the type is unknown, a row is not a whole number of blocks, or the
 * size is beyond 2^53.
 */
export function tensorBytes(type: number, shape: readonly number[]): number | undefined {
  const kind = TENSOR_TYPES.get(type)
  const rowLength = shape[0]
  if (kind === undefined || rowLength === undefined || rowLength % kind.blockSize !== 0) return undefined
  const blocks = shape.slice(1).reduce((product, dimension) => product * dimension, rowLength / kind.blockSize)
  const bytes = blocks * kind.typeSize
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The name of a `ggml_type`, for people. */
export function typeName(type: number): string {
  return TENSOR_TYPES.get(type)?.name ?? `type ${type}`
}

/** Whether rows of this length are a whole number of the type's blocks. */
export function holdsRows(type: WrittenType, rowLength: number): boolean {
  return rowLength % (TENSOR_TYPES.get(GGML_TYPES[type])?.blockSize ?? 1) === 0
}

/** `position` rounded up to a multiple of `alignment`; plain arithmetic, because bit masks end at 2^31. */
export function alignUp(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment
}
