import type { GgufValue } from '../../formats/gguf/types.ts'
import type { Fields } from '../fields.ts'
import {
  float32,
  forEachBlock,
  MAX_BLOCKS,
  MAX_VOCABULARY,
  type Model,
  string,
  type TensorRule,
  uint32,
} from './architecture.ts'
import { qwen2Modules } from './qwen2-modules.ts'

/** Defaults of transformers' `Qwen2Config`. */
const DEFAULTS = { contextLength: 32_768, epsilon: 1e-6, ropeTheta: 10_000, maxWindowLayers: 28 }

/** Qwen2 and Qwen2.5: names, keys and order of llama.cpp's own converter. */
export function qwen2(config: Fields): Model {
  const blocks = config.count('num_hidden_layers', { most: MAX_BLOCKS })
  const hidden = config.count('hidden_size')
  const feedForward = config.count('intermediate_size')
  const heads = config.count('num_attention_heads')
  const keyValueHeads = config.count('num_key_value_heads', { fallback: heads })
  const vocabularySize = config.count('vocab_size', { most: MAX_VOCABULARY })
  const tied = config.flag('tie_word_embeddings', false)
  const headSize = config.get('head_dim') === undefined ? hidden / heads : config.count('head_dim')
  if (!Number.isInteger(headSize)) throw config.invalid('hidden_size', `a multiple of num_attention_heads (${heads})`)
  if (heads % keyValueHeads !== 0)
    throw config.invalid('num_key_value_heads', `a divisor of num_attention_heads (${heads})`)
  config.oneOf('hidden_act', ['silu'], 'silu')
  refuseSlidingWindow(config, blocks)
  const epsilon = config.positive('rms_norm_eps', DEFAULTS.epsilon)
  const sizes = { hidden, feedForward, query: heads * headSize, keyValue: keyValueHeads * headSize }
  return {
    architecture: 'qwen2',
    vocabularySize,
    keys: {
      block_count: uint32(blocks),
      context_length: uint32(config.count('max_position_embeddings', { fallback: DEFAULTS.contextLength })),
      embedding_length: uint32(hidden),
      feed_forward_length: uint32(feedForward),
      'attention.head_count': uint32(heads),
      'attention.head_count_kv': uint32(keyValueHeads),
      'attention.layer_norm_rms_epsilon': float32(epsilon),
      ...(config.get('head_dim') === undefined
        ? {}
        : { 'attention.key_length': uint32(headSize), 'attention.value_length': uint32(headSize) }),
      ...rope(config),
    },
    tensors: [
      { to: 'token_embd.weight', from: 'model.embed_tokens.weight', shape: [vocabularySize, hidden] },
      { to: 'output_norm.weight', from: 'model.norm.weight', shape: [hidden] },
      { to: 'output.weight', from: 'lm_head.weight', shape: [vocabularySize, hidden], optional: tied },
      ...forEachBlock(blocks, block(sizes)),
    ],
    ignored: ['.rotary_emb.inv_freq'],
    modules: qwen2Modules({ ...sizes, vocabularySize, blocks, epsilon, padTokenId: config.get('pad_token_id') }),
  }
}

function block(sizes: { hidden: number; feedForward: number; query: number; keyValue: number }): TensorRule[] {
  const { hidden, feedForward, query, keyValue } = sizes
  const attention = 'model.layers.{}.self_attn'
  const mlp = 'model.layers.{}.mlp'
  return [
    { to: 'blk.{}.attn_norm.weight', from: 'model.layers.{}.input_layernorm.weight', shape: [hidden] },
    { to: 'blk.{}.attn_q.weight', from: `${attention}.q_proj.weight`, shape: [query, hidden] },
    { to: 'blk.{}.attn_q.bias', from: `${attention}.q_proj.bias`, shape: [query] },
    { to: 'blk.{}.attn_k.weight', from: `${attention}.k_proj.weight`, shape: [keyValue, hidden] },
    { to: 'blk.{}.attn_k.bias', from: `${attention}.k_proj.bias`, shape: [keyValue] },
    { to: 'blk.{}.attn_v.weight', from: `${attention}.v_proj.weight`, shape: [keyValue, hidden] },
    { to: 'blk.{}.attn_v.bias', from: `${attention}.v_proj.bias`, shape: [keyValue] },
    { to: 'blk.{}.attn_output.weight', from: `${attention}.o_proj.weight`, shape: [hidden, query] },
    { to: 'blk.{}.ffn_norm.weight', from: 'model.layers.{}.post_attention_layernorm.weight', shape: [hidden] },
    { to: 'blk.{}.ffn_gate.weight', from: `${mlp}.gate_proj.weight`, shape: [feedForward, hidden] },
    { to: 'blk.{}.ffn_up.weight', from: `${mlp}.up_proj.weight`, shape: [feedForward, hidden] },
    { to: 'blk.{}.ffn_down.weight', from: `${mlp}.down_proj.weight`, shape: [hidden, feedForward] },
  ]
}

/** llama.cpp's qwen2 attends to everything; a model with windowed layers would silently compute something else. */
function refuseSlidingWindow(config: Fields, blocks: number): void {
  if (!config.flag('use_sliding_window', false)) return
  if ((config.index('max_window_layers') ?? DEFAULTS.maxWindowLayers) < blocks)
    throw config.unsupported('use_sliding_window', 'false')
}

/** Keys of the rotary embedding; transformers 5 gathers the fields in `rope_parameters`, older releases do not. */
function rope(config: Fields): Record<string, GgufValue> {
  const scaling = config.section('rope_parameters') ?? config.section('rope_scaling')
  const outer = config.positive('rope_theta', DEFAULTS.ropeTheta)
  const base = { 'rope.freq_base': float32(scaling?.positive('rope_theta', outer) ?? outer) }
  if (scaling === undefined) return base
  const type = scaling.oneOf(
    scaling.get('rope_type') === undefined ? 'type' : 'rope_type',
    ['default', 'linear', 'yarn'],
    'default',
  )
  if (type === 'default') return base
  const keys = {
    ...base,
    'rope.scaling.type': string(type),
    'rope.scaling.factor': float32(scaling.positive('factor')),
  }
  return type === 'linear' ? keys : { ...keys, ...yarn(scaling) }
}

function yarn(scaling: Fields): Record<string, GgufValue> {
  const keys: Record<string, GgufValue> = {
    'rope.scaling.original_context_length': uint32(scaling.count('original_max_position_embeddings')),
  }
  for (const [key, field] of Object.entries(YARN_FACTORS)) {
    if (scaling.get(field) !== undefined) keys[`rope.scaling.${key}`] = float32(scaling.positive(field))
  }
  return keys
}

const YARN_FACTORS: Readonly<Record<string, string>> = {
  yarn_ext_factor: 'extrapolation_factor',
  yarn_attn_factor: 'attention_factor',
  yarn_beta_fast: 'beta_fast',
  yarn_beta_slow: 'beta_slow',
}
