import { activation, embedding, linear, type Module, module, moduleList, norm, pythonFloat } from './module.ts'

/** What decides the modules of a T5. */
export interface T5Modules {
  /** `T5` or `UMT5`: how its classes begin. */
  prefix: string
  vocabularySize: number
  /** Width of the embeddings, of all heads together, and of the feed-forward layer. */
  model: number
  inner: number
  feedForward: number
  heads: number
  buckets: number
  gated: boolean
  /** Of the feed-forward layer, by transformers' name. */
  activation: string
  dropout: number
  blocks: { enc: number; dec: number }
  biasInEveryBlock: boolean
}

/** transformers' `T5ForConditionalGeneration`, and `UMT5ForConditionalGeneration`, which differs in names and biases. */
export function t5Modules(t5: T5Modules): Module {
  const size = [t5.vocabularySize, t5.model] as const
  return module(`${t5.prefix}ForConditionalGeneration`, {
    shared: embedding('shared', size),
    encoder: stack(t5, 'encoder', t5.blocks.enc),
    decoder: stack(t5, 'decoder', t5.blocks.dec),
    lm_head: linear('lm_head', [t5.model, t5.vocabularySize]),
  })
}

function stack(t5: T5Modules, path: string, blocks: number): Module {
  return module(`${t5.prefix}Stack`, {
    embed_tokens: embedding(`${path}.embed_tokens`, [t5.vocabularySize, t5.model]),
    block: moduleList(
      Array.from({ length: blocks }, (_, i) => block(t5, `${path}.block.${i}`, t5.biasInEveryBlock || i === 0)),
    ),
    final_layer_norm: norm(`${t5.prefix}LayerNorm`, `${path}.final_layer_norm`),
    dropout: dropout(t5),
  })
}

function block(t5: T5Modules, path: string, hasBias: boolean): Module {
  const layers = [
    attentionLayer(t5, `${path}.layer.0`, { kind: 'Self', hasBias }),
    ...(path.startsWith('decoder') ? [attentionLayer(t5, `${path}.layer.1`, { kind: 'EncDec', hasBias: false })] : []),
  ]
  layers.push(feedForwardLayer(t5, `${path}.layer.${layers.length}`))
  return module(`${t5.prefix}Block`, { layer: moduleList(layers) })
}

function attentionLayer(t5: T5Modules, path: string, attention: { kind: 'Self' | 'EncDec'; hasBias: boolean }): Module {
  const name = `${attention.kind}Attention`
  const inward = (part: string) => linear(`${path}.${name}.${part}`, [t5.model, t5.inner])
  return module(`${t5.prefix}Layer${attention.kind === 'Self' ? 'Self' : 'Cross'}Attention`, {
    [name]: module(`${t5.prefix}Attention`, {
      q: inward('q'),
      k: inward('k'),
      v: inward('v'),
      o: linear(`${path}.${name}.o`, [t5.inner, t5.model]),
      ...(attention.hasBias
        ? { relative_attention_bias: embedding(`${path}.${name}.relative_attention_bias`, [t5.buckets, t5.heads]) }
        : {}),
    }),
    ...layerEnd(t5, path),
  })
}

function feedForwardLayer(t5: T5Modules, path: string): Module {
  const inward = (part: string) => linear(`${path}.DenseReluDense.${part}`, [t5.model, t5.feedForward])
  return module(`${t5.prefix}LayerFF`, {
    DenseReluDense: module(`${t5.prefix}Dense${t5.gated ? 'Gated' : ''}ActDense`, {
      ...(t5.gated ? { wi_0: inward('wi_0'), wi_1: inward('wi_1') } : { wi: inward('wi') }),
      wo: linear(`${path}.DenseReluDense.wo`, [t5.feedForward, t5.model]),
      dropout: dropout(t5),
      act: activation(t5.activation),
    }),
    ...layerEnd(t5, path),
  })
}

function layerEnd(t5: T5Modules, path: string): Module['children'] {
  return { layer_norm: norm(`${t5.prefix}LayerNorm`, `${path}.layer_norm`), dropout: dropout(t5) }
}

function dropout(t5: T5Modules): Module {
  return module('Dropout', {}, `p=${pythonFloat(t5.dropout)}, inplace=False`)
}
