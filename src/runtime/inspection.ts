import { inspect as shown } from 'node:util'
import { requireQuantization } from '../convert/convert.ts'
import { planFile } from '../convert/planned-file.ts'
import { TandemError } from '../errors.ts'
import { textOf } from '../formats/gguf/metadata.ts'
import { readGgufShards } from '../formats/gguf/shards.ts'
import { typeName } from '../formats/gguf/types.ts'
import type { SpecialTokenName } from '../tokenizer/config.ts'
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts'
import { type ConvertedModel, describeModel, isConverted } from './converted-model.ts'
import { locateModel } from './locate.ts'
import { estimateMemory, type MemoryEstimate, type MemoryOptions } from './memory.ts'
import { type InspectedModule, moduleTree, type TreeTensor, tensorTree, valueCount } from './module-tree.ts'

/** Options of {@link inspect}. */
export interface InspectOptions extends MemoryOptions {
  /** Type of the weights, or a mix of types, that a folder would be converted to. Default `q8_0`. */
  quantization?: string
}

/** What a model is, without its weights being read. */
export interface ModelInspection {
  /** Last part of the path, without `.gguf`. */
  name: string
  /** Of the folder or file. */
  path: string
  /** Which of the two kinds of models it is. */
  kind: 'encoder-decoder' | 'decoder-only'
  /** `general.architecture`: `t5`, `qwen2`, … */
  architecture: string
  /** Of the file, or the one that a folder would be converted to. */
  quantization: string | null
  /** Values of all tensors, those that modules share counted once. */
  parameters: number
  /** Bytes of all tensors, as converted. */
  bytes: number
  /** Number of tensors and bytes by type: `{ q8_0: { tensors, bytes }, … }`. */
  types: Record<string, { tensors: number; bytes: number }>
  /** As transformers builds it; of a file that another converter made, as its tensors are named. */
  modules: InspectedModule
  /** What turns text into ids. */
  tokenizer: {
    /** `BPE`, `Unigram` as in tokenizer.json, or llama.cpp's name: `llama`, `gpt2`, … */
    model: string
    vocabularySize: number
    specialTokens: Partial<Record<SpecialTokenName, { token: string; id: number }>>
  }
  /** Jinja text. */
  chatTemplate: string | null
  /** What `generate` goes by where a call says nothing. */
  generationConfig: Record<string, unknown>
  /** Positions that the model was trained with; null where the model does not say. */
  maxPositions: number | null
  /** What it needs in memory, on a CPU. */
  memory: MemoryEstimate
  /** What is strange about a folder but does not prevent its conversion. */
  warnings: string[]
}

const OPTION_NAMES: readonly (keyof InspectOptions)[] = [
  'quantization',
  'contextSize',
  'kvType',
  'maxSequences',
  'numBeams',
  'sourceLength',
]

/**
 * Tells what a model is and needs: an embedded one by name, a model folder as it would be converted, or a GGUF file. Reads
 * tables and small files only.
 *
 * @throws TandemError `not-found`, `invalid-file`, `invalid-argument`, `unsupported-model`, `io`
 *
 * @example
 * const { kind, parameters, memory } = await inspect('/models/Qwen2.5-0.5B-Instruct', { quantization: 'q4_k_m' })
 * console.log(`${kind}, ${parameters} parameters, needs ${memory.total} bytes`)
 */
export async function inspect(model: string, options: InspectOptions = {}): Promise<ModelInspection> {
  requireInspectOptions(options)
  const { quantization, ...memoryOptions } = options
  const location = await locateModel(model)
  if (location.kind === 'gguf' && quantization !== undefined) {
    throw new TandemError('invalid-argument', 'quantization is for model folders: a GGUF file is what it is', {
      received: location.path,
    })
  }
  const file =
    location.kind === 'gguf'
      ? { ...(await readGgufShards(location.path)), warnings: [] }
      : { version: 3, alignment: 32, ...(await planFile(location.path, requireQuantization(quantization ?? 'q8_0'))) }
  const described = await describeModel(file, location.path)
  try {
    return {
      name: location.name,
      path: location.path,
      kind: described.architecture === 't5' ? 'encoder-decoder' : 'decoder-only',
      architecture: described.architecture,
      quantization: described.quantization ?? null,
      ...weightsOf(file.tensors),
      modules: isConverted(file)
        ? moduleTree(described.config, file.tensors)
        : tensorTree(described.architecture, file.tensors),
      tokenizer: tokenizerOf(described),
      chatTemplate: described.chatTemplate ?? null,
      generationConfig: described.generationConfig,
      maxPositions: maxPositionsOf(described),
      memory: estimateMemory(file, memoryOptions),
      warnings: file.warnings,
    }
  } finally {
    await described.tokenizer.dispose()
  }
}

function weightsOf(tensors: readonly TreeTensor[]): Pick<ModelInspection, 'parameters' | 'bytes' | 'types'> {
  const types: ModelInspection['types'] = {}
  for (const { type, size } of tensors) {
    const entry = types[typeName(type)] ?? { tensors: 0, bytes: 0 }
    types[typeName(type)] = { tensors: entry.tensors + 1, bytes: entry.bytes + size }
  }
  return {
    parameters: tensors.reduce((sum, { shape }) => sum + valueCount(shape), 0),
    bytes: tensors.reduce((sum, { size }) => sum + size, 0),
    types,
  }
}

function tokenizerOf({ gguf, tokenizer }: ConvertedModel): ModelInspection['tokenizer'] {
  return {
    model: modelOf(textOf(gguf, 'tokenizer.huggingface.json')) ?? textOf(gguf, 'tokenizer.ggml.model') ?? 'unknown',
    vocabularySize: tokenizer.vocabularySize,
    specialTokens: specialTokensOf(tokenizer),
  }
}

/** The `type` of the model in a tokenizer.json that has been read before. */
function modelOf(tokenizerJson: string | undefined): string | undefined {
  if (tokenizerJson === undefined) return undefined
  const { model } = JSON.parse(tokenizerJson) as { model?: { type?: unknown } }
  // Old files leave it out; what has merges is BPE.
  return typeof model?.type === 'string' ? model.type : 'BPE'
}

function specialTokensOf(tokenizer: TextTokenizer): ModelInspection['tokenizer']['specialTokens'] {
  const entries = Object.entries(tokenizer.specialTokens).flatMap(([name, token]) => {
    const id = tokenizer.tokenId(token)
    return id === undefined ? [] : [[name, { token, id }] as const]
  })
  return Object.fromEntries(entries)
}

function maxPositionsOf({ config, architecture }: ConvertedModel): number | null {
  // T5's relative positions go on for ever.
  const positions = architecture === 't5' ? undefined : config['max_position_embeddings']
  return typeof positions === 'number' ? positions : null
}

function requireInspectOptions(options: unknown): asserts options is InspectOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw wrong('The options of inspect are wrong', 'an object', options)
  }
  const unknown = Object.keys(options).find((name) => !(OPTION_NAMES as readonly string[]).includes(name))
  if (unknown !== undefined) throw wrong('inspect has no such option', OPTION_NAMES.join(', '), unknown)
  const { kvType } = options as InspectOptions
  if (kvType !== undefined && kvType !== 'f32' && kvType !== 'f16') throw wrong('Bad kvType', "'f32' or 'f16'", kvType)
}

function wrong(problem: string, expected: string, received: unknown): TandemError {
  return new TandemError('invalid-argument', problem, { expected, received: shown(received, { depth: 1 }) })
}
