import { TandemError } from '../errors.ts'
import { GGML_BF16, GGML_F16, GGML_F32, type GgufTensorInfo } from '../formats/gguf/types.ts'
import type { Safetensors, SafetensorsTensor } from '../formats/safetensors.ts'
import type { Model, TensorRule } from './architectures/architecture.ts'
import { type Quantization, tensorType } from './quantization.ts'

/** Types of weights that are converted, with their `ggml_type`; every other one belongs to a quantised checkpoint. */
const SOURCE_TYPES: ReadonlyMap<string, number> = new Map([
  ['F32', GGML_F32],
  ['F16', GGML_F16],
  ['BF16', GGML_BF16],
])

/** At most this many names in a message. */
const SHOWN_NAMES = 5

/** One tensor of the new file. */
export interface TensorPlan extends GgufTensorInfo {
  source: SafetensorsTensor
  /** `ggml_type` of the source. */
  sourceType: number
  /** Multiplied into every value; 1 leaves them as they are. */
  scale: number
}

/**
 * What becomes of every tensor of the checkpoint, in its order, which is the order of the new file.
 * @throws TandemError `invalid-file` if the checkpoint lacks a tensor, has one too many or one of another shape than
 * config.json says, `unsupported-model` for quantised weights
 */
export function planTensors(model: Model, weights: Safetensors, quantization: Quantization): TensorPlan[] {
  const { rules, missing } = match(model, weights)
  if (missing.length > 0) throw refuse(model, 'lacks tensors', missing, 'Check that its download is complete')
  const known = new Set(model.tensors.flatMap(({ from }) => from))
  const plans: TensorPlan[] = []
  const unknown: string[] = []
  for (const source of weights.tensors.values()) {
    const rule = rules.get(source.name)
    if (rule !== undefined) plans.push(planTensor(rule, source, quantization))
    else if (!known.has(source.name) && !isIgnored(model, source.name)) unknown.push(source.name)
  }
  if (unknown.length > 0)
    throw refuse(model, 'has unknown tensors', unknown, 'Check that config.json describes these weights')
  return plans
}

/** Rules by the name that the checkpoint uses, and the names that it lacks. */
function match(model: Model, weights: Safetensors): { rules: Map<string, TensorRule>; missing: string[] } {
  const rules = new Map<string, TensorRule>()
  const missing: string[] = []
  for (const rule of model.tensors) {
    const names = [rule.from].flat()
    const name = names.find((candidate) => weights.tensors.has(candidate))
    if (name !== undefined) rules.set(name, rule)
    else if (rule.optional !== true) missing.push(names.join(' or '))
  }
  return { rules, missing }
}

function isIgnored(model: Model, name: string): boolean {
  return model.ignored.some((ending) => name.endsWith(ending))
}

function planTensor(rule: TensorRule, source: SafetensorsTensor, quantization: Quantization): TensorPlan {
  const sourceType = SOURCE_TYPES.get(source.dtype)
  if (sourceType === undefined) {
    throw new TandemError('unsupported-model', `${source.name} of ${source.file} has a type that cannot be converted`, {
      expected: [...SOURCE_TYPES.keys()].join(', '),
      received: source.dtype,
      remedy: 'Convert the original model, with weights that are not quantised',
    })
  }
  if (source.shape.length !== rule.shape.length || rule.shape.some((dimension, i) => dimension !== source.shape[i])) {
    throw new TandemError(
      'invalid-file',
      `${source.name} of ${source.file} does not have the shape that config.json says`,
      {
        expected: `[${rule.shape.join(', ')}]`,
        received: `[${source.shape.join(', ')}]`,
        remedy: 'Check that config.json belongs to these weights',
      },
    )
  }
  const type = tensorType(rule, quantization)
  return { name: rule.to, type, shape: [...rule.shape].reverse(), source, sourceType, scale: rule.scale ?? 1 }
}

function refuse(model: Model, problem: string, names: readonly string[], remedy: string): TandemError {
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : ''
  return new TandemError('invalid-file', `The checkpoint ${problem} for architecture ${model.architecture}`, {
    received: `${names.slice(0, SHOWN_NAMES).join(', ')}${more}`,
    remedy,
  })
}
