import type { GgufTensorInfo, GgufValue, WrittenType } from '../formats/gguf/types.ts'

/** Where a tensor stands: the `index`-th of `count` of its kind, in a model about which llama.cpp asks the rest. */
export interface Place {
  index: number
  count: number
  groupedQueries: number
  isFalcon: boolean
}

/**
 * The rules of `llama_tensor_get_type_impl` in llama.cpp's src/llama-quant.cpp (v0.5.0, without an importance matrix).
 * What has no rule, or whose rule says nothing, has the mix's main type.
 */
export interface Mix {
  type: WrittenType
  attentionValue?: (place: Place) => WrittenType | undefined
  attentionOutput?: WrittenType
  /** With eight experts (Mixtral), in place of the rule above. */
  attentionOutputOfEightExperts?: WrittenType
  /** In Falcon, in place of both. */
  attentionOutputOfFalcon?: WrittenType
  feedForwardDown?: (place: Place) => WrittenType | undefined
}

/** The first and the last eighth of the layers, and every third between them. */
function usesMoreBits({ index, count }: Place): boolean {
  const eighth = Math.floor(count / 8)
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2
}

const isInFirst = (share: number, { index, count }: Place) => index < Math.floor(count / share)
const q6IfMoreBits = (place: Place) => (usesMoreBits(place) ? 'q6_k' : undefined)

export const MIXES = {
  q2_k_m: {
    type: 'q2_k',
    attentionValue: ({ groupedQueries }) => (groupedQueries >= 4 ? 'q4_k' : 'q3_k'),
    attentionOutput: 'q3_k',
    attentionOutputOfEightExperts: 'q5_k',
    feedForwardDown: () => 'q3_k',
  },
  q3_k_s: { type: 'q3_k', attentionOutputOfEightExperts: 'q5_k' },
  q3_k_m: {
    type: 'q3_k',
    attentionValue: ({ index }) => (index < 2 ? 'q5_k' : 'q4_k'),
    attentionOutput: 'q4_k',
    attentionOutputOfEightExperts: 'q5_k',
    feedForwardDown: (place) => {
      if (isInFirst(16, place)) return 'q5_k'
      return !place.isFalcon || usesMoreBits(place) ? 'q4_k' : undefined
    },
  },
  q3_k_l: {
    type: 'q3_k',
    attentionValue: () => 'q5_k',
    attentionOutput: 'q5_k',
    attentionOutputOfFalcon: 'q4_k',
    feedForwardDown: ({ isFalcon }) => (isFalcon ? 'q4_k' : 'q5_k'),
  },
  q4_k_s: {
    type: 'q4_k',
    attentionValue: ({ index }) => (index < 4 ? 'q5_k' : undefined),
    attentionOutputOfEightExperts: 'q5_k',
    feedForwardDown: (place) => (!place.isFalcon && isInFirst(8, place) ? 'q5_k' : undefined),
  },
  q4_k_m: {
    type: 'q4_k',
    attentionValue: q6IfMoreBits,
    attentionOutputOfEightExperts: 'q5_k',
    feedForwardDown: (place) => {
      if (!place.isFalcon) return q6IfMoreBits(place)
      if (isInFirst(16, place)) return 'q6_k'
      return usesMoreBits(place) ? 'q5_k' : undefined
    },
  },
  q5_k_s: { type: 'q5_k' },
  q5_k_m: { type: 'q5_k', attentionValue: q6IfMoreBits, feedForwardDown: q6IfMoreBits },
} as const satisfies Record<string, Mix>

/** What the rules ask about a model. */
interface MixedModel {
  mix: Mix
  /** Whether the embedding is the output as well. */
  isTied: boolean
  isFalcon: boolean
  is70B: boolean
  groupedQueries: number
  experts: number
  layers: number
  attentionValues: number
}

/** How many tensors of a kind have had their type. */
interface Seen {
  attentionValues: number
  feedForwardDowns: number
}

/**
 * The type of each of `matrices`, which are all of a model that are quantised. That rows may not fit is another matter.
 */
export function mixedTypes(
  mix: Mix,
  matrices: readonly GgufTensorInfo[],
  metadata: ReadonlyMap<string, GgufValue>,
): (matrix: GgufTensorInfo) => WrittenType {
  const model = mixedModel(mix, matrices, metadata)
  const seen: Seen = { attentionValues: 0, feedForwardDowns: 0 }
  // The rules count in the order in which llama.cpp walks through a model.
  const ordered = [...matrices].sort((a, b) => layerOf(a) - layerOf(b) || (a.name < b.name ? -1 : 1))
  const types = new Map(ordered.map((matrix) => [matrix.name, mixedType(matrix, model, seen)]))
  return ({ name }) => types.get(name) ?? mix.type
}

function mixedModel(
  mix: Mix,
  matrices: readonly GgufTensorInfo[],
  metadata: ReadonlyMap<string, GgufValue>,
): MixedModel {
  const architecture = String(metadata.get('general.architecture')?.value)
  const number = (key: string) => firstNumber(metadata.get(`${architecture}.${key}`))
  const heads = number('attention.head_count') ?? 0
  const keyValueHeads = number('attention.head_count_kv') ?? heads
  const layers = number('block_count') ?? 0
  return {
    mix,
    isTied: matrices.every(({ name }) => name !== 'output.weight'),
    isFalcon: architecture === 'falcon',
    is70B: LAYERS_OF_70B.get(architecture) === layers && (architecture !== 'llama' || heads !== keyValueHeads),
    groupedQueries: keyValueHeads === 0 ? 0 : Math.floor(heads / keyValueHeads),
    experts: number('expert_count') ?? 0,
    layers,
    attentionValues: matrices.filter(({ name }) => ATTENTION_VALUE.test(name)).length,
  }
}

/** What llama.cpp takes for a model of 70 billion parameters, by its architecture and number of layers. */
const LAYERS_OF_70B: ReadonlyMap<string, number> = new Map([
  ['llama', 80],
  ['qwen2', 80],
  ['deci', 80],
  ['olmo', 80],
  ['jais2', 68],
])

/** A number that may differ from layer to layer; the first layer decides. */
function firstNumber(entry: GgufValue | undefined): number | undefined {
  const value: unknown = entry?.type === 'array' ? entry.value[0] : entry?.value
  return typeof value === 'number' ? value : undefined
}

/** The block that a tensor belongs to; what belongs to none comes first. */
function layerOf({ name }: GgufTensorInfo): number {
  return Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1)
}

const ATTENTION_VALUE = /attn_(v|qkv|kv_b)\.weight/

function mixedType(matrix: GgufTensorInfo, model: MixedModel, seen: Seen): WrittenType {
  const { name } = matrix
  const { mix, isTied, isFalcon, experts } = model
  const isEmbedding = name === 'token_embd.weight' || name === 'per_layer_token_embd.weight'
  if (name === 'output.weight' || (isTied && isEmbedding)) return isFalcon ? 'q8_0' : 'q6_k'
  if (isEmbedding) return mix.type
  if (ATTENTION_VALUE.test(name)) return attentionValue(model, seen.attentionValues++)
  if (name.includes('attn_k.weight')) return experts === 8 ? 'q8_0' : mix.type
  if (name.includes('attn_output.weight')) {
    if (isFalcon) return mix.attentionOutputOfFalcon ?? mix.type
    return (experts === 8 ? mix.attentionOutputOfEightExperts : mix.attentionOutput) ?? mix.type
  }
  if (!name.includes('ffn_down')) return mix.type
  // Where a layer has several experts, counting them does not give its number.
  const index = experts > 1 ? layerOf(matrix) : seen.feedForwardDowns++
  return mix.feedForwardDown?.({ ...model, index, count: model.layers }) ?? mix.type
}

function attentionValue(model: MixedModel, index: number): WrittenType {
  if (model.experts === 8) return 'q8_0'
  const type = model.mix.attentionValue?.({ ...model, index, count: model.attentionValues }) ?? model.mix.type
  // Eight query heads share a value head there: it is small, and more bits cost little.
  return model.is70B && (type === 'q3_k' || type === 'q4_k') ? 'q5_k' : type
}
