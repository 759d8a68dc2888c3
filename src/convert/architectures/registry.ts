import { TandemError } from '../../errors.ts'
import type { Fields } from '../fields.ts'
import type { Architecture, Model } from './architecture.ts'
import { qwen2 } from './qwen2.ts'
import { F32_FOR_F16_IN_T5, t5, umt5 } from './t5.ts'

/** By `model_type` of config.json. */
const MODEL_TYPES: Readonly<Record<string, Architecture>> = { qwen2, t5, umt5 }

/** By the first entry of `architectures`, for the few files without `model_type`. */
const CLASS_NAMES: Readonly<Record<string, Architecture>> = {
  Qwen2ForCausalLM: qwen2,
  T5ForConditionalGeneration: t5,
  T5WithLMHeadModel: t5,
  UMT5ForConditionalGeneration: umt5,
}

/** Tensors, by their names in GGUF, whose input overflows half precision; by `general.architecture`. */
export const F32_FOR_F16: ReadonlyMap<string, RegExp> = new Map([['t5', F32_FOR_F16_IN_T5]])

/** Values of `general.architecture` that are encoder-decoders. */
export const ENCODER_DECODERS: ReadonlySet<string> = new Set(['t5'])

/**
 * What config.json describes.
 * @throws TandemError `unsupported-model` for a type that is not in the registry, `invalid-file` for bad values
 */
export function readModel(config: Fields): Model {
  const type = config.get('model_type')
  const classes = config.get('architectures')
  const className: unknown = Array.isArray(classes) ? classes[0] : undefined
  const architecture = type === undefined ? find(CLASS_NAMES, className) : find(MODEL_TYPES, type)
  if (architecture === undefined) {
    throw new TandemError('unsupported-model', `The model of ${config.file} is not supported`, {
      expected: `model_type ${Object.keys(MODEL_TYPES).join(', ')}`,
      received: JSON.stringify(type ?? className) ?? 'none',
    })
  }
  if (config.get('quantization_config') !== undefined) {
    throw new TandemError('unsupported-model', `The weights of ${config.file} are quantised already`, {
      remedy: 'Convert the original model instead: quantising twice costs quality',
    })
  }
  return architecture(config)
}

function find(map: Readonly<Record<string, Architecture>>, name: unknown): Architecture | undefined {
  return typeof name === 'string' && Object.hasOwn(map, name) ? map[name] : undefined
}
