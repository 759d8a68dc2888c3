import { TandemError } from '../errors.ts'
import { GGML_TYPES, tensorBytes, typeName } from '../formats/gguf/types.ts'
import type { Addon } from '../native/addon.ts'
import { availableCores } from '../native/cores.ts'
import { asTandemError } from '../native/library.ts'
import type { TensorPlan } from './plan.ts'
import { countUnfit, countUnfitIn, unfitValues, widened } from './unfit-values.ts'

/** Rows are read, converted and written in pieces of this size: memory stays the same for a model of any size. */
const CHUNK_BYTES = 4_194_304

export type ConvertRows = Addon['convertRows']

/**
 * The bytes of a tensor of the new file, in whole rows where they are converted. A piece is valid until the next one is asked for.
 * `onBytes` is told how many bytes of the source each piece came from.
 * @throws TandemError `invalid-file` for values that the new type cannot hold
 */
export async function* convertTensor(
  plan: TensorPlan,
  { convertRows, onBytes }: { convertRows: ConvertRows; onBytes: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const rowLength = plan.shape[0] ?? 1
  const isCopied = plan.sourceType === plan.type
  const sourceRow = isCopied ? CHUNK_BYTES : (tensorBytes(plan.sourceType, [rowLength]) ?? 1)
  const targetRow = isCopied ? CHUNK_BYTES : (tensorBytes(plan.type, [rowLength]) ?? 1)
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(sourceRow, targetRow)))
  const buffer = new Uint8Array(Math.min(plan.sourceSize, rowsAtOnce * sourceRow))
  const conversion = { from: plan.sourceType, to: plan.type, rowLength, threads: availableCores() }
  for (let position = 0; position < plan.sourceSize; position += buffer.length) {
    const source = buffer.subarray(0, Math.min(buffer.length, plan.sourceSize - position))
    await plan.read(position, source)
    onBytes(source.length)
    const convert = () => convertRows(source, conversion).catch((error: unknown) => refuse(error, plan))
    const rows = isCopied
      ? await copied(source, plan)
      : plan.keepsUnfit
        ? widened(source, plan.sourceType)
        : await convert()
    yield plan.type === GGML_TYPES.f32 && plan.scale !== 1 ? scaled(rows, plan.scale) : rows
  }
}

/** What is copied, unless the type cannot hold it; where rows are converted the addon looks at every value. */
async function copied(source: Uint8Array, plan: TensorPlan): Promise<Uint8Array> {
  if (plan.keepsUnfit || countUnfit(source, plan.sourceType, plan.type) === 0) return source
  throw unfitValues(plan.name, await countUnfitIn(plan, plan.type), plan.type)
}

/** The addon sees rows; people know tensors, and how many of their values are meant. */
async function refuse(error: unknown, plan: TensorPlan): Promise<never> {
  const cause = asTandemError(error)
  if (!(cause instanceof TandemError) || cause.code !== 'invalid-file') throw cause
  const count = await countUnfitIn(plan, plan.type)
  if (count > 0) throw unfitValues(plan.name, count, plan.type)
  throw new TandemError('invalid-file', `${plan.name} cannot become ${typeName(plan.type)}`, {
    received: cause.message,
    remedy: 'The weights are damaged, or the model needs a wider type: try f32 or bf16',
    cause,
  })
}

/** f32 values times a factor, computed in f32 as torch does. */
function scaled(rows: Uint8Array, scale: number): Uint8Array {
  const values = new Float32Array(rows.slice().buffer)
  const factor = Math.fround(scale)
  for (const [i, value] of values.entries()) values[i] = value * factor
  return new Uint8Array(values.buffer)
}
