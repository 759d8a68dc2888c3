import { DEFAULT_ALIGNMENT } from './limits.ts'
import type { GgufArray, GgufItemType, GgufTensorInfo, GgufText, GgufValue } from './types.ts'
import { alignUp, VALUE_BYTES, VALUE_TYPES } from './types.ts'

const VERSION = 3

/** Everything before the data of the first tensor, padded to the alignment. */
export function encodeHeader(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorInfo[],
  sizes: readonly number[],
): { pieces: Uint8Array[]; length: number; alignment: number } {
  const alignment = alignmentOf(metadata)
  const out = new Encoder()
  out.bytes(Buffer.from('GGUF', 'latin1'))
  out.uint32(VERSION)
  out.uint64(tensors.length)
  out.uint64(metadata.size)
  for (const [key, value] of metadata) {
    out.text(key)
    out.uint32(VALUE_TYPES.indexOf(value.type))
    out.value(value)
  }
  let offset = 0
  for (const [index, tensor] of tensors.entries()) {
    out.text(tensor.name)
    out.uint32(tensor.shape.length)
    for (const dimension of tensor.shape) out.uint64(dimension)
    out.uint32(tensor.type)
    out.uint64(offset)
    offset += alignUp(sizes[index] ?? 0, alignment)
  }
  out.bytes(Buffer.alloc(alignUp(out.length, alignment) - out.length))
  return { pieces: out.finish(), length: out.length, alignment }
}

/** A file that says how it is aligned, because its metadata come from another one, is aligned so. */
function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const entry = metadata.get('general.alignment')
  return entry?.type === 'uint32' ? entry.value : DEFAULT_ALIGNMENT
}

const PIECE_BYTES = 1_048_576

/** Collects pieces instead of growing one buffer: a vocabulary's header is some 30 MB. */
class Encoder {
  private readonly full: Uint8Array[] = []
  private fullBytes = 0
  private buffer = Buffer.alloc(PIECE_BYTES)
  private used = 0

  get length(): number {
    return this.fullBytes + this.used
  }

  finish(): Uint8Array[] {
    return [...this.full, this.buffer.subarray(0, this.used)]
  }

  bytes(bytes: Uint8Array): void {
    const { buffer, start } = this.room(bytes.length)
    buffer.set(bytes, start)
  }

  uint32(value: number): void {
    const { buffer, start } = this.room(4)
    buffer.writeUInt32LE(value, start)
  }

  uint64(value: number): void {
    const { buffer, start } = this.room(8)
    buffer.writeBigUInt64LE(BigInt(value), start)
  }

  text(text: GgufText): void {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text
    this.uint64(bytes.length)
    this.bytes(bytes)
  }

  value(value: GgufValue): void {
    if (value.type === 'array') this.array(value)
    else if (value.type === 'string') this.text(value.value)
    else this.scalar(value.type, value.value)
  }

  private array(array: GgufArray): void {
    this.uint32(VALUE_TYPES.indexOf(array.items))
    this.uint64(array.value.length)
    if (array.items === 'string') for (const text of array.value) this.text(text)
    else if (array.items === 'bool') this.bytes(Uint8Array.from(array.value, Number))
    else this.bytes(new Uint8Array(array.value.buffer, array.value.byteOffset, array.value.byteLength))
  }

  private scalar(type: Exclude<GgufItemType, 'string'>, value: number | bigint | boolean): void {
    const { buffer, start } = this.room(VALUE_BYTES[type])
    const view = new DataView(buffer.buffer, buffer.byteOffset + start, VALUE_BYTES[type])
    if (type === 'uint64') view.setBigUint64(0, BigInt(value), true)
    else if (type === 'int64') view.setBigInt64(0, BigInt(value), true)
    else NUMBER_SETTERS[type](view, Number(value))
  }

  private room(bytes: number): { buffer: Buffer; start: number } {
    if (this.used + bytes > this.buffer.length) {
      this.full.push(this.buffer.subarray(0, this.used))
      this.fullBytes += this.used
      this.buffer = Buffer.alloc(Math.max(bytes, PIECE_BYTES))
      this.used = 0
    }
    const start = this.used
    this.used += bytes
    return { buffer: this.buffer, start }
  }
}

const NUMBER_SETTERS: Readonly<
  Record<Exclude<GgufItemType, 'string' | 'uint64' | 'int64'>, (view: DataView, value: number) => void>
> = {
  uint8: (view, value) => view.setUint8(0, value),
  int8: (view, value) => view.setInt8(0, value),
  uint16: (view, value) => view.setUint16(0, value, true),
  int16: (view, value) => view.setInt16(0, value, true),
  uint32: (view, value) => view.setUint32(0, value, true),
  int32: (view, value) => view.setInt32(0, value, true),
  float32: (view, value) => view.setFloat32(0, value, true),
  float64: (view, value) => view.setFloat64(0, value, true),
  bool: (view, value) => view.setUint8(0, value),
}
