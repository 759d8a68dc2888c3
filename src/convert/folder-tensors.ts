import { TandemError } from '../errors.ts'
import { GGML_TYPES } from '../formats/gguf/types.ts'
import type { Safetensors, SafetensorsTensor } from '../formats/safetensors.ts'
import type { Model, TensorRule } from './architectures/architecture.ts'
import type { SourceTensor } from './source.ts'

/** Types of weights that are converted, with their `ggml_type`; every other one belongs to a quantised checkpoint. */
const SOURCE_TYPES: ReadonlyMap<string, number> = new Map([
  ['F32', GGML_TYPES.f32],
  ['F16', GGML_TYPES.f16],
  ['BF16', GGML_TYPES.bf16],
])

/** At most this many names in a message. */
const SHOWN_NAMES = 5

/**
 * The tensors of a checkpoint under their names in GGUF, in its order, which is the order of the new file.
 * @throws TandemError `invalid-file` if the checkpoint lacks a tensor, has one too many or one of another shape than
 * config.json says, `unsupported-model` for quantised weights
 */
export function folderTensors(model: Model, weights: Safetensors): SourceTensor[] {
  const { rules, missing } = match(model, weights)
  if (missing.length > 0) throw refuse(model, 'lacks tensors', missing, 'Check that its download is complete')
  const known = new Set(model.tensors.flatMap(({ from }) => from))
  const tensors: SourceTensor[] = []
  const unknown: string[] = []
  for (const source of weights.tensors.values()) {
    const rule = rules.get(source.name)
    if (rule !== undefined) tensors.push(sourceTensor(rule, source, weights))
    else if (!known.has(source.name) && !isIgnored(model, source.name)) unknown.push(source.name)
  }
  if (unknown.length > 0)
    throw refuse(model, 'has unknown tensors', unknown, 'Check that config.json describes these weights')
  return tensors
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

function sourceTensor(rule: TensorRule, source: SafetensorsTensor, weights: Safetensors): SourceTensor {
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
  return {
    name: rule.to,
    type: GGML_TYPES.f32,
    shape: [...rule.shape].reverse(),
    sourceType,
    sourceSize: source.size,
    scale: rule.scale ?? 1,
    read: (position, target) => weights.read(source, position, target),
  }
}

function refuse(model: Model, problem: string, names: readonly string[], remedy: string): TandemError {
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : ''
  return new TandemError('invalid-file', `The checkpoint ${problem} for architecture ${model.architecture}`, {
    received: `${names.slice(0, SHOWN_NAMES).join(', ')}${more}`,
    remedy,
  })
}
