import { isUtf8 } from 'node:buffer'
import { TandemError } from '../errors.ts'
import { checkStructure } from './safetensors-structure.ts'

/** The limit of the reference implementation (`MAX_HEADER_SIZE` in safetensors/src/tensor.rs). */
export const MAX_HEADER_BYTES = 100_000_000

/** Bits of one value of every type that the format knows; the narrow float types are not whole bytes. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
])

export interface SafetensorsEntry {
  name: string
  /** A type name of the format, such as `F32` or `BF16`. */
  dtype: string
  /** Row-major: the row length last. */
  shape: readonly number[]
  /** Absolute offset in the file, bytes. */
  offset: number
  /** Bytes. */
  size: number
}

/**
 * The tensors of a file, sorted by name, from its header (the bytes after the length).
 * https://huggingface.co/docs/safetensors#format
 * @throws TandemError `invalid-file` unless the tensors cover the rest of the file exactly
 */
export function parseHeader(header: Buffer, fileSize: number, file: string): SafetensorsEntry[] {
  if (!isUtf8(header)) throw invalidSafetensors(file, 'has a header that is not text', 'UTF-8', 'other bytes')
  const text = header.toString('utf8')
  if (!text.startsWith('{')) throw invalidSafetensors(file, 'has a bad header', 'a JSON object', text.slice(0, 8))
  checkStructure(text, file)
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new TandemError('invalid-file', `${file} has a header that is not JSON`, { cause })
  }
  const dataStart = 8 + header.length
  const entries = Object.entries(parsed ?? {})
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => parseEntry(name, value, dataStart, file))
  checkCoverage(entries, dataStart, fileSize, file)
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function parseEntry(name: string, value: unknown, dataStart: number, file: string): SafetensorsEntry {
  const fields: Partial<Record<string, unknown>> = typeof value === 'object' && value !== null ? { ...value } : {}
  const { dtype, shape, data_offsets: range } = fields
  const bits = typeof dtype === 'string' ? DTYPE_BITS.get(dtype) : undefined
  if (typeof dtype !== 'string' || bits === undefined) {
    throw invalidSafetensors(
      file,
      `has an unknown type of ${name}`,
      [...DTYPE_BITS.keys()].join(', '),
      JSON.stringify(dtype),
    )
  }
  if (!isSizes(shape))
    throw invalidSafetensors(file, `has a bad shape of ${name}`, 'whole numbers', JSON.stringify(shape))
  if (!isSizes(range) || range.length !== 2) {
    throw invalidSafetensors(file, `has bad offsets of ${name}`, 'begin and end', JSON.stringify(range))
  }
  const [begin = 0, end = 0] = range
  // A product that leaves the safe integers cannot come back into them, except through a dimension of 0.
  const count = shape.includes(0) ? 0 : shape.reduce((product, dimension) => product * dimension, 1)
  const size = (count * bits) / 8
  if (!Number.isSafeInteger(size) || size !== end - begin) {
    const expected = `${size} bytes for ${dtype} [${shape.join(', ')}]`
    throw invalidSafetensors(file, `has offsets of ${name} that do not fit its shape`, expected, `${end - begin}`)
  }
  return { name, dtype, shape, offset: dataStart + begin, size }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && entry >= 0)
}

/** Tensors lie one after the other and fill the file: a hole could hide anything, an overlap share it. */
function checkCoverage(entries: readonly SafetensorsEntry[], dataStart: number, fileSize: number, file: string): void {
  const placed = [...entries].sort((a, b) => a.offset - b.offset || a.size - b.size)
  let next = dataStart
  for (const { name, offset, size } of placed) {
    if (offset !== next) {
      throw invalidSafetensors(file, `has ${name} at a wrong offset`, `${next - dataStart}`, `${offset - dataStart}`)
    }
    next += size
  }
  if (next !== fileSize) {
    throw invalidSafetensors(file, 'has a wrong size', `${next} bytes, as its header says`, `${fileSize}`)
  }
}

export function invalidSafetensors(file: string, problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-file', `${file} ${problem}`, {
    expected,
    received,
    remedy: 'The file is damaged or incomplete; download it again',
  })
}
