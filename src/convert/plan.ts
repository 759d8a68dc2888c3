import { TandemError } from '../errors.ts'
import { GGML_TYPES, TENSOR_TYPES, typeName } from '../formats/gguf/types.ts'
import type { Quantization } from './quantization.ts'
import { requireMixable } from './quantization.ts'
import type { Source, SourceTensor } from './source.ts'
import { chooseTypes } from './tensor-types.ts'
import { countUnfitIn } from './unfit-values.ts'

/** One tensor of the new file; `type` is its type there. */
export interface TensorPlan extends SourceTensor {
  /** The type that the quantization asks for: another than `type` where rows are no whole number of its blocks. */
  wanted: number
  /** It holds values that the type asked for cannot, and stays f32, as it is. */
  keepsUnfit: boolean
}

/** A tensor whose rows the wanted type cannot hold. */
export interface Fallback {
  /** Name in GGUF. */
  tensor: string
  /** Type that was asked for. */
  wanted: string
  /** Type that it became. */
  type: string
  /** Values of a row. */
  rowLength: number
}

/**
 * What becomes of every tensor.
 * @throws TandemError `unsupported-option` for a mix that the architecture cannot have, `invalid-argument` for weights
 * that are quantised already, unless that is allowed, and `unsupported-model` for integers or endless
 * rows in their place
 */
export function planTensors(source: Source, quantization: Quantization, allowRequantize: boolean): TensorPlan[] {
  requireMixable(quantization, source.architecture)
  const choices = chooseTypes(source.tensors, source.metadata, quantization)
  const plans = source.tensors.map((tensor) => {
    const unchanged = { type: tensor.type, wanted: tensor.type }
    return { ...tensor, ...(choices.get(tensor.name) ?? unchanged), keepsUnfit: false }
  })
  for (const plan of plans) if (plan.type !== plan.sourceType) requireConvertible(plan)
  const again = plans.filter(isRequantized)
  if (again.length > 0 && !allowRequantize) throw quantisedAlready(again)
  return plans
}

/** A plan in which tensors stay f32 whose values the type asked for cannot hold, and a remark on each. */
export async function keepUnfitValues(
  plans: readonly TensorPlan[],
): Promise<{ plans: TensorPlan[]; remarks: string[] }> {
  const remarks: string[] = []
  const kept: TensorPlan[] = []
  for (const plan of plans) {
    const count = await countUnfitIn(plan, plan.type)
    kept.push(count === 0 ? plan : { ...plan, type: GGML_TYPES.f32, keepsUnfit: true })
    if (count === 0) continue
    remarks.push(
      `${count} values of ${plan.name} are not finite, or too large for ${typeName(plan.type)}: it stays f32`,
    )
  }
  return { plans: kept, remarks }
}

/** Whether quantised values become others, which loses more than quantising the original would. */
export function isRequantized({ type, sourceType }: TensorPlan): boolean {
  return type !== sourceType && isQuantized(sourceType)
}

export function fallbacksOf(plans: readonly TensorPlan[]): Fallback[] {
  return plans
    .filter(({ type, wanted }) => type !== wanted)
    .map(({ name, type, wanted, shape }) => ({
      tensor: name,
      wanted: typeName(wanted),
      type: typeName(type),
      rowLength: shape[0] ?? 0,
    }))
}

function isQuantized(type: number): boolean {
  return (TENSOR_TYPES.get(type)?.blockSize ?? 1) > 1
}

/** What ggml makes no floats of. */
const NO_WEIGHTS = ['i8', 'i16', 'i32', 'i64', 'f64', 'q8_1', 'q8_k']

/** Whole rows are in memory at once: 16 MB of f32, a hundred times the rows of the largest models. */
const MAX_ROW_LENGTH = 2 ** 22

function requireConvertible({ name, sourceType, shape }: TensorPlan): void {
  if (NO_WEIGHTS.includes(typeName(sourceType))) {
    throw new TandemError('unsupported-model', `${name} has a type that cannot be quantised`, {
      expected: 'floating point or quantised weights',
      received: typeName(sourceType),
    })
  }
  const [rowLength = 0] = shape
  if (rowLength <= MAX_ROW_LENGTH) return
  throw new TandemError('unsupported-model', `${name} has rows that are too long`, {
    expected: `at most ${MAX_ROW_LENGTH} values`,
    received: `${rowLength}`,
  })
}

function quantisedAlready(plans: readonly TensorPlan[]): TandemError {
  const types = [...new Set(plans.map(({ sourceType }) => typeName(sourceType)))]
  return new TandemError('invalid-argument', 'The weights are quantised already', {
    expected: 'weights in f32, f16 or bf16',
    received: `${plans.length} tensors in ${types.join(', ')}, ${plans[0]?.name} first`,
    remedy:
      'Convert the original model, or allow it with --allow-requantize (allowRequantize): it loses more than quantising the original',
  })
}
