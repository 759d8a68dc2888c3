import { TandemError } from '../errors.ts'
import { parseJson } from '../json.ts'
import type { T5Parameters } from './addon.ts'
import { architectureNumber, type ModelFile } from './model-file.ts'

/**
 * The numbers of a T5 graph from a GGUF file: llama.cpp's keys, and from the model's own configuration the two that
 * llama.cpp takes for granted (distance 128; gelu when the layer is gated, relu when it is not).
 *
 * @throws TandemError `unsupported-model`
 */
export function t5Parameters(file: ModelFile): T5Parameters {
  const number = (key: string, fallback?: number) => {
    const value = architectureNumber(file, key) ?? fallback
    if (value !== undefined && Number.isFinite(value) && value > 0) return value
    throw new TandemError('unsupported-model', `The file has no usable t5.${key}`, { received: String(value) })
  }
  const shapeOf = (name: string) => file.tensors.find((tensor) => tensor.name === name)?.shape
  const vocabularySize = shapeOf('token_embd.weight')?.[1]
  if (vocabularySize === undefined) throw new TandemError('unsupported-model', 'The file has no token_embd.weight')
  const isGated = shapeOf('dec.blk.0.ffn_gate.weight') !== undefined
  const buckets = number('attention.relative_buckets_count')
  const config = huggingFaceConfig(file)
  return {
    dModel: number('embedding_length'),
    dKv: number('attention.key_length'),
    dFf: number('feed_forward_length'),
    numHeads: number('attention.head_count'),
    numLayers: number('block_count'),
    numDecoderLayers: number('decoder_block_count', number('block_count')),
    vocabularySize,
    layerNormEpsilon: number('attention.layer_norm_rms_epsilon'),
    relativeAttentionNumBuckets: buckets,
    relativeAttentionMaxDistance: maxDistance(config['relative_attention_max_distance'] ?? 128, buckets),
    activation: activation(config['feed_forward_proj'], isGated),
    isGated,
  }
}

function huggingFaceConfig(file: ModelFile): Record<string, unknown> {
  const text = file.metadata.get('tandem.config')?.value
  if (typeof text !== 'string') return {}
  try {
    const config: unknown = parseJson(text)
    if (typeof config === 'object' && config !== null) return config as Record<string, unknown>
  } catch {
    // Said below, with what to do.
  }
  throw new TandemError('invalid-file', 'tandem.config in the file is no JSON object', {
    remedy: 'Convert the model again',
  })
}

/** The logarithmic buckets need room: half of the buckets are exact, and the last distance lies beyond them. */
function maxDistance(value: unknown, buckets: number): number {
  const isUsable = Number.isSafeInteger(value) && Number(value) > buckets / 2 && Number(value) < 2 ** 31
  if (isUsable && Number.isInteger(buckets) && buckets >= 4 && buckets % 2 === 0) return Number(value)
  throw new TandemError('unsupported-model', 'The relative position bias cannot be computed', {
    expected: 'an even number of at least 4 buckets, and a relative_attention_max_distance above half of it',
    received: `${buckets} buckets, distance ${String(value)}`,
  })
}

/** `feed_forward_proj` is `relu`, `gated-gelu`, …; in T5 `gated-gelu` means the tanh approximation. */
function activation(projection: unknown, isGated: boolean): string {
  if (typeof projection !== 'string') return isGated ? 'gelu_new' : 'relu'
  if (projection === 'gated-gelu') return 'gelu_new'
  const name = projection.replace(/^gated-/, '')
  if (['relu', 'gelu', 'gelu_new', 'silu'].includes(name)) return name
  throw new TandemError('unsupported-model', 'The feed-forward activation is not supported', {
    expected: 'relu, gelu, gelu_new or silu, gated or not',
    received: projection,
  })
}
