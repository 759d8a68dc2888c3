import { activation, embedding, linear, type Module, module, moduleList, norm, pythonFloat } from './module.ts'

/** What decides the modules of a Qwen2. */
export interface Qwen2Modules {
  vocabularySize: number
  /** Widths: of the embeddings, the feed-forward layer, all query heads, all key (and value) heads. */
  hidden: number
  feedForward: number
  query: number
  keyValue: number
  blocks: number
  epsilon: number
  /** As config.json has it; it decides nothing but what is printed. */
  padTokenId: unknown
}

/** transformers' `Qwen2ForCausalLM`. */
export function qwen2Modules(qwen2: Qwen2Modules): Module {
  const { vocabularySize, hidden, blocks, padTokenId } = qwen2
  return module('Qwen2ForCausalLM', {
    model: module('Qwen2Model', {
      embed_tokens: embedding('model.embed_tokens', [vocabularySize, hidden], padTokenId),
      layers: moduleList(Array.from({ length: blocks }, (_, index) => layer(qwen2, `model.layers.${index}`))),
      norm: rmsNorm(qwen2, 'model.norm'),
      rotary_emb: module('Qwen2RotaryEmbedding'),
    }),
    lm_head: linear('lm_head', [hidden, vocabularySize]),
  })
}

function layer(qwen2: Qwen2Modules, path: string): Module {
  const { hidden, feedForward, query, keyValue } = qwen2
  const [attention, mlp] = [`${path}.self_attn`, `${path}.mlp`]
  return module('Qwen2DecoderLayer', {
    self_attn: module('Qwen2Attention', {
      q_proj: linear(`${attention}.q_proj`, [hidden, query], true),
      k_proj: linear(`${attention}.k_proj`, [hidden, keyValue], true),
      v_proj: linear(`${attention}.v_proj`, [hidden, keyValue], true),
      o_proj: linear(`${attention}.o_proj`, [query, hidden]),
    }),
    mlp: module('Qwen2MLP', {
      gate_proj: linear(`${mlp}.gate_proj`, [hidden, feedForward]),
      up_proj: linear(`${mlp}.up_proj`, [hidden, feedForward]),
      down_proj: linear(`${mlp}.down_proj`, [feedForward, hidden]),
      act_fn: activation('silu'),
    }),
    input_layernorm: rmsNorm(qwen2, `${path}.input_layernorm`),
    post_attention_layernorm: rmsNorm(qwen2, `${path}.post_attention_layernorm`),
  })
}

function rmsNorm({ hidden, epsilon }: Qwen2Modules, path: string): Module {
  return norm('Qwen2RMSNorm', path, `(${hidden},), eps=${pythonFloat(epsilon)}`)
}
