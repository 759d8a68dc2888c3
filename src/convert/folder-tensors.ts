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
const SHOWN_NAMES = 20

/** The tensors of a checkpoint under their names in GGUF, and remarks on those that the model does not know. */
export interface FolderTensors {
  /** In the order of the checkpoint, which is the order of the new file. */
  tensors: SourceTensor[]
  unknown: string[]
}

/**
 * Finds the tensors of a model in its checkpoint.
 * @throws TandemError `invalid-file` with all tensors that are missing or have another shape than config.json says,
 * `unsupported-model` for quantised weights
 */
export function folderTensors(model: Model, weights: Safetensors): FolderTensors {
  const { rules, missing } = match(model, weights)
  const found = [...weights.tensors.values()].flatMap((source) => {
    const rule = rules.get(source.name)
    return rule === undefined ? [] : [{ rule, source }]
  })
  const misshapen = found
    .filter(({ rule, source }) => !hasShape(source, rule))
    .map(({ rule, source }) => {
      return `${source.name} of [${source.shape.join(', ')}] in place of [${rule.shape.join(', ')}]`
    })
  if (missing.length + misshapen.length > 0) throw doesNotFit(model, missing, misshapen)
  const untyped = found.filter(({ source }) => !SOURCE_TYPES.has(source.dtype)).map(({ source }) => source)
  if (untyped.length > 0) throw cannotBeConverted(untyped)
  return {
    tensors: found.map(({ rule, source }) => sourceTensor(rule, source, weights)),
    unknown: unknownTensors(model, weights),
  }
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

/** transformers leaves out what a model does not know, and says so; a whole layer too many would be a wrong config.json. */
function unknownTensors(model: Model, weights: Safetensors): string[] {
  const known = new Set(model.tensors.flatMap(({ from }) => from))
  const names = [...weights.tensors.keys()].filter((name) => {
    return !known.has(name) && !model.ignored.some((ending) => name.endsWith(ending))
  })
  if (names.length === 0) return []
  return [
    `${names.length} tensors are not part of architecture ${model.architecture} and were left out: ${shown(names)}`,
  ]
}

function hasShape({ shape }: SafetensorsTensor, rule: TensorRule): boolean {
  return shape.length === rule.shape.length && shape.every((dimension, i) => dimension === rule.shape[i])
}

function sourceTensor(rule: TensorRule, source: SafetensorsTensor, weights: Safetensors): SourceTensor {
  return {
    name: rule.to,
    type: GGML_TYPES.f32,
    shape: [...rule.shape].reverse(),
    sourceType: SOURCE_TYPES.get(source.dtype) ?? GGML_TYPES.f32,
    sourceSize: source.size,
    scale: rule.scale ?? 1,
    read: (position, target) => weights.read(source, position, target),
  }
}

function doesNotFit(model: Model, missing: readonly string[], misshapen: readonly string[]): TandemError {
  const clauses = [
    ...(missing.length === 0 ? [] : [`${missing.length} missing: ${shown(missing)}`]),
    ...(misshapen.length === 0 ? [] : [`${misshapen.length} of another shape: ${shown(misshapen)}`]),
  ]
  return new TandemError('invalid-file', `The checkpoint does not hold the tensors that config.json describes`, {
    expected: `those of architecture ${model.architecture}`,
    received: clauses.join('; '),
    remedy: 'Check that its download is complete, and that config.json belongs to these weights',
  })
}

function cannotBeConverted(tensors: readonly SafetensorsTensor[]): TandemError {
  return new TandemError('unsupported-model', 'The checkpoint has types that cannot be converted', {
    expected: [...SOURCE_TYPES.keys()].join(', '),
    received: shown(tensors.map(({ name, dtype }) => `${dtype} of ${name}`)),
    remedy: 'Convert the original model, with weights that are not quantised',
  })
}

function shown(names: readonly string[]): string {
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : ''
  return `${names.slice(0, SHOWN_NAMES).join(', ')}${more}`
}
