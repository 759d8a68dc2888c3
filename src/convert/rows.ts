import { GGML_F32, tensorBytes } from '../formats/gguf/types.ts'
import type { Safetensors } from '../formats/safetensors.ts'
import type { Addon } from '../native/addon.ts'
import type { TensorPlan } from './plan.ts'

/** Rows are read, converted and written in pieces of this size: memory stays the same for a model of any size. */
const CHUNK_BYTES = 4_194_304

export type ConvertRows = Addon['convertRows']

/**
 * The bytes of a tensor of the new file, in whole rows. Reading and writing are real input and output, so other work
 * gets its turn between two pieces. A piece is valid until the next one is asked for.
 * `onBytes` is told how many bytes of the source each piece came from.
 */
export async function* convertTensor(
  plan: TensorPlan,
  weights: Safetensors,
  { convertRows, onBytes }: { convertRows: ConvertRows; onBytes: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const rowLength = plan.shape[0] ?? 1
  const sourceRow = tensorBytes(plan.sourceType, [rowLength]) ?? 1
  const targetRow = tensorBytes(plan.type, [rowLength]) ?? 1
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(sourceRow, targetRow)))
  const buffer = new Uint8Array(Math.min(plan.source.size, rowsAtOnce * sourceRow))
  for (let position = 0; position < plan.source.size; position += buffer.length) {
    const source = buffer.subarray(0, Math.min(buffer.length, plan.source.size - position))
    await weights.read(plan.source, position, source)
    onBytes(source.length)
    const rows = plan.sourceType === plan.type ? source : convertRows(source, plan.sourceType, plan.type, rowLength)
    yield plan.type === GGML_F32 && plan.scale !== 1 ? scaled(rows, plan.scale) : rows
  }
}

/** f32 values times a factor, computed in f32 as torch does. */
function scaled(rows: Uint8Array, scale: number): Uint8Array {
  const values = new Float32Array(rows.slice().buffer)
  const factor = Math.fround(scale)
  for (const [i, value] of values.entries()) values[i] = value * factor
  return new Uint8Array(values.buffer)
}
