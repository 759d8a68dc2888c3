import type { Fields } from '../fields.ts'
import {
  float32,
  forEachBlock,
  MAX_BLOCKS,
  MAX_VOCABULARY,
  type Model,
  type TensorRule,
  uint32,
} from './architecture.ts'
import { t5Modules } from './t5-modules.ts'

/** Defaults of transformers' `T5Config`. */
const DEFAULTS = { buckets: 32, maxDistance: 128, epsilon: 1e-6, contextLength: 512, dropout: 0.1 }

const FEED_FORWARDS = [
  'relu',
  'gated-relu',
  'gelu',
  'gated-gelu',
  'gelu_new',
  'gated-gelu_new',
  'silu',
  'gated-silu',
] as const

/**
 * T5 with all its variants: relu or gated, tied or not, ChatLM too. Names and keys are llama.cpp's; what differs from
 * the files of its converter, so that its T5 computes what transformers computes:
 * - The scale d_model^-0.5 of the decoder's output, which llama.cpp leaves out, is folded into the last norm.
 * - Position biases stay f32: they are tiny, and they are added to unscaled attention scores.
 * - `wo` stays f32 where the file is f16, as transformers keeps it: its input overflows half precision.
 * - A stray position bias of cross-attention in old checkpoints is left out; no implementation uses it.
 */
export function t5(config: Fields): Model {
  const tied = config.flag('tie_word_embeddings', true)
  return describe(config, {
    prefix: 'T5',
    scaled: config.flag('scale_decoder_outputs', tied),
    biasInEveryBlock: false,
  })
}

/**
 * umT5: position biases in every block. transformers 4 scales the output where embeddings are tied; transformers 5
 * always does, whatever config.json says, and is the reference here.
 */
export function umt5(config: Fields): Model {
  return describe(config, { prefix: 'UMT5', scaled: true, biasInEveryBlock: true })
}

interface Variant {
  /** How the names of its classes in transformers begin. */
  prefix: string
  scaled: boolean
  biasInEveryBlock: boolean
}

function describe(config: Fields, variant: Variant): Model {
  const model = config.count('d_model')
  const headSize = config.count('d_kv')
  const feedForward = config.count('d_ff')
  const heads = config.count('num_heads')
  const enc = config.count('num_layers', { most: MAX_BLOCKS })
  const blocks = { enc, dec: config.count('num_decoder_layers', { fallback: enc, most: MAX_BLOCKS }) }
  const buckets = config.count('relative_attention_num_buckets', { fallback: DEFAULTS.buckets })
  const epsilon = float32(config.positive('layer_norm_epsilon', DEFAULTS.epsilon))
  const vocabularySize = config.count('vocab_size', { most: MAX_VOCABULARY })
  const projection = config.oneOf('feed_forward_proj', FEED_FORWARDS, 'relu')
  const gated = projection.startsWith('gated-')
  config.count('relative_attention_max_distance', { fallback: DEFAULTS.maxDistance })
  const sizes: Sizes = { model, inner: heads * headSize, feedForward, heads, buckets, gated }
  const biased = (count: number) => (variant.biasInEveryBlock ? count : 1)
  return {
    architecture: 't5',
    vocabularySize,
    keys: {
      context_length: uint32(config.count('n_positions', { fallback: DEFAULTS.contextLength })),
      embedding_length: uint32(model),
      feed_forward_length: uint32(feedForward),
      block_count: uint32(blocks.enc),
      decoder_block_count: uint32(blocks.dec),
      'attention.head_count': uint32(heads),
      'attention.key_length': uint32(headSize),
      'attention.value_length': uint32(headSize),
      'attention.layer_norm_epsilon': epsilon,
      'attention.relative_buckets_count': uint32(buckets),
      'attention.layer_norm_rms_epsilon': epsilon,
      decoder_start_token_id: uint32(config.index('decoder_start_token_id') ?? 0),
    },
    tensors: [
      { to: 'token_embd.weight', from: EMBEDDINGS, shape: [vocabularySize, model] },
      { to: 'output.weight', from: 'lm_head.weight', shape: [vocabularySize, model], optional: true },
      { to: 'enc.output_norm.weight', from: 'encoder.final_layer_norm.weight', shape: [model] },
      {
        to: 'dec.output_norm.weight',
        from: 'decoder.final_layer_norm.weight',
        shape: [model],
        ...(variant.scaled ? { scale: model ** -0.5 } : {}),
      },
      ...forEachBlock(blocks.enc, stack('enc', 'encoder', sizes)),
      ...forEachBlock(biased(blocks.enc), [positionBias('enc', 'encoder', sizes)]),
      ...forEachBlock(blocks.dec, stack('dec', 'decoder', sizes)),
      ...forEachBlock(biased(blocks.dec), [positionBias('dec', 'decoder', sizes)]),
      ...forEachBlock(
        blocks.dec,
        attention('dec.blk.{}.cross_attn', 'decoder.block.{}.layer.1', 'EncDecAttention', sizes),
      ),
    ],
    ignored: ['.EncDecAttention.relative_attention_bias.weight'],
    modules: t5Modules({
      ...sizes,
      ...variant,
      vocabularySize,
      blocks,
      activation: projection === 'gated-gelu' ? 'gelu_new' : projection.replace('gated-', ''),
      dropout: Number(config.get('dropout_rate') ?? DEFAULTS.dropout),
    }),
  }
}

/** `wo`: where the file is f16, these stay f32. */
export const F32_FOR_F16_IN_T5 = /\.ffn_down\.weight$/

/** Checkpoints hold the one embedding under any of these names, some under several. */
const EMBEDDINGS = ['shared.weight', 'encoder.embed_tokens.weight', 'decoder.embed_tokens.weight']

interface Sizes {
  model: number
  inner: number
  feedForward: number
  heads: number
  buckets: number
  gated: boolean
}

function stack(to: string, from: string, sizes: Sizes): TensorRule[] {
  const { model, feedForward, gated } = sizes
  const last = `${from}.block.{}.layer.${from === 'encoder' ? 1 : 2}`
  const dense = `${last}.DenseReluDense`
  return [
    ...attention(`${to}.blk.{}.attn`, `${from}.block.{}.layer.0`, 'SelfAttention', sizes),
    { to: `${to}.blk.{}.ffn_norm.weight`, from: `${last}.layer_norm.weight`, shape: [model] },
    ...(gated
      ? [{ to: `${to}.blk.{}.ffn_gate.weight`, from: `${dense}.wi_0.weight`, shape: [feedForward, model] }]
      : []),
    { to: `${to}.blk.{}.ffn_up.weight`, from: `${dense}.${gated ? 'wi_1' : 'wi'}.weight`, shape: [feedForward, model] },
    { to: `${to}.blk.{}.ffn_down.weight`, from: `${dense}.wo.weight`, shape: [model, feedForward] },
  ]
}

function attention(to: string, layer: string, name: string, { model, inner }: Sizes): TensorRule[] {
  return [
    { to: `${to}_norm.weight`, from: `${layer}.layer_norm.weight`, shape: [model] },
    { to: `${to}_q.weight`, from: `${layer}.${name}.q.weight`, shape: [inner, model] },
    { to: `${to}_k.weight`, from: `${layer}.${name}.k.weight`, shape: [inner, model] },
    { to: `${to}_v.weight`, from: `${layer}.${name}.v.weight`, shape: [inner, model] },
    { to: `${to}_o.weight`, from: `${layer}.${name}.o.weight`, shape: [model, inner] },
  ]
}

function positionBias(to: string, from: string, { buckets, heads }: Sizes): TensorRule {
  return {
    to: `${to}.blk.{}.attn_rel_b.weight`,
    from: `${from}.block.{}.layer.0.SelfAttention.relative_attention_bias.weight`,
    shape: [buckets, heads],
  }
}
