import { TandemError } from '../errors.ts'
import { typeName } from '../formats/gguf/types.ts'
import { cellBytes } from '../native/context-memory.ts'
import { mayHaveAttentionKernel, mayHavePackedKernels, PACKED_TYPES } from '../native/kernels.ts'
import { architectureNumber, architectureOf, arrayLength, type ModelFile } from '../native/model-file.ts'
import {
  type EngineSettings,
  type OpenOptions,
  positiveInteger,
  resolveOpenOptions,
  weightBytes,
} from '../native/open-options.ts'
import { isConverted } from './converted-model.ts'

/** What a model is to be used for, where its memory is estimated. */
export interface MemoryOptions extends Pick<OpenOptions, 'contextSize' | 'kvType' | 'maxSequences'> {
  /** Hypotheses of one generation. Default 1. */
  numBeams?: number
  /** Tokens of the input. Default 512, or the context where it is smaller. */
  sourceLength?: number
}

/** What a model needs on a CPU once its context is full, in bytes. */
export interface MemoryEstimate {
  /** Tokens that were assumed. */
  contextSize: number
  /** Hypotheses that were assumed. */
  numBeams: number
  /** Tokens of the input that were assumed. */
  sourceLength: number
  /** Type of the keys and values that was assumed. */
  kvType: 'f32' | 'f16'
  /** Node.js with Tandem and the libraries of llama.cpp. */
  program: number
  /** The vocabulary, in the tokenizer, and in llama.cpp where that tokenizes. */
  vocabulary: number
  /** Bytes of the weights, with what llama.cpp keeps repacked. */
  weights: number
  /** Bytes of the keys and values of a full context. */
  keysAndValues: number
  /** Intermediate results, and logits. */
  compute: number
  /** Sum of the bytes above. */
  total: number
}

const DEFAULT_SOURCE = 512

// Resident memory as measured with Node.js 20 on Linux x64, q8_0, f16 and f32 files of ChatLM's and Qwen2.5-0.5B's shape:
/**
 * A process with the libraries and no model: 60 to 64 MiB. The rest is what JavaScript takes while it generates, fitted to
 * what the two embedded models took in all, 87 to 112 MiB: V8's young generation alone grows by 8 MiB over a few hundred
 * tokens of four beams, and by nothing over a short answer.
 */
const PROGRAM_BYTES = 82 * 2 ** 20
/**
 * A token, a merge or a score, in the file's table and in the tokenizer, with what the collector of garbage has not
 * collected yet: between the 400 and 600 bytes that fitted two ways of running Qwen2.5, with 303,323 of them.
 */
const TOKENIZER_ENTRY_BYTES = 500
/**
 * The same in llama.cpp's own vocabulary, which a file of another converter needs to tokenize: such a file of Qwen2.5's
 * took 857 MiB where ours took 815.
 */
const LLAMA_ENTRY_BYTES = 200
const FLOAT_BYTES = 4

/** libllama computes a prompt in pieces of so many tokens. */
const BATCH_SIZE = 512
/** libllama's context is a whole number of these. */
const CONTEXT_UNIT = 256
/** Cells that one step of the T5 graph gathers at most (`max_gathered_cells` of native/engine/encoder_decoder.cpp). */
const MAX_GATHERED_CELLS = 32_768

/** Of the bytes in the file: packed, the scales and minimums of 6 bits that these types have take 8. */
const PACKED_EXTRA: ReadonlyMap<string, number> = new Map([
  ['q4_k', 1 / 36],
  ['q5_k', 1 / 44],
])

/** libllama keeps a repacked copy of these beside the mapped file, on x64 and ARM alike (ggml's `CPU_REPACK` buffer). */
const REPACKED_TYPES: readonly string[] = ['q4_0', 'q4_k', 'iq4_nl', 'mxfp4']

/** Arrays of a GGUF file with an entry for each token or merge. */
const VOCABULARY_KEYS = ['tokens', 'merges', 'scores']

/**
 * What a model will need, from the table of its GGUF file alone.
 *
 * @throws TandemError `invalid-argument`
 */
export function estimateMemory(file: ModelFile, options: MemoryOptions = {}): MemoryEstimate {
  const settings = resolveOpenOptions(file, options)
  const { contextSize, kvType } = settings
  const numBeams = positiveInteger('numBeams', options.numBeams ?? 1)
  const sourceLength = positiveInteger('sourceLength', options.sourceLength ?? Math.min(DEFAULT_SOURCE, contextSize))
  if (sourceLength > contextSize) {
    throw new TandemError('invalid-argument', 'The input is longer than the context', {
      expected: `at most ${contextSize} tokens`,
      received: String(sourceLength),
    })
  }
  const size = { ...settings, numBeams, sourceLength }
  const isEncoderDecoder = architectureOf(file) === 't5'
  const entries = vocabularyEntries(file)
  const parts = {
    program: PROGRAM_BYTES,
    vocabulary: entries * (TOKENIZER_ENTRY_BYTES + (isConverted(file) ? 0 : LLAMA_ENTRY_BYTES)),
    ...(isEncoderDecoder ? encoderDecoderParts(file, size) : decoderOnlyParts(file, size)),
  }
  const total = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)
  return { contextSize, numBeams, sourceLength, kvType, ...parts, total }
}

/** Bytes that a model takes at once when it is opened, whatever it is used for; the rest comes with use. */
export function bytesToOpen(file: ModelFile, options: OpenOptions = {}): { weights: number; keysAndValues: number } {
  const { contextSize, kvType } = resolveOpenOptions(file, options)
  // The cells of our own engine are memory only once they are used.
  const keysAndValues = architectureOf(file) === 't5' ? 0 : contextSize * cellBytes(file, kvType)
  return { weights: weightBytes(file), keysAndValues }
}

type Size = EngineSettings & { numBeams: number; sourceLength: number }
type ModelParts = Pick<MemoryEstimate, 'weights' | 'keysAndValues' | 'compute'>

function encoderDecoderParts(file: ModelFile, size: Size): ModelParts {
  const { contextSize, kvType, sourceLength, numBeams } = size
  const heads = count(file, 'attention.head_count')
  const inner = heads * count(file, 'attention.key_length')
  const feedForward = count(file, 'feed_forward_length')
  const hasKernel = kvType === 'f16' && mayHaveAttentionKernel(count(file, 'attention.key_length'))
  // What the layer reads, its joined projections and their keys and values in halves; the feed-forward layer in f32 and
  // quantised, in two and a half bytes on AVX2.
  const kernelEncoder = sourceLength * (2 * count(file, 'embedding_length') + Math.max(5 * inner, 1.6 * feedForward))
  // Position bias, scores and their softmax, [heads, source, source] each; the feed-forward layer before and after its
  // activation.
  const ggmlEncoder = 3 * heads * sourceLength ** 2 + 2 * sourceLength * feedForward
  // Only where weights are packed does the encoder leave its keys and values in halves to the kernel.
  const isPacked = file.tensors.some(
    ({ name, type }) => name === 'enc.blk.0.attn_q.weight' && PACKED_TYPES.includes(typeName(type)),
  )
  const encoder = hasKernel && isPacked ? kernelEncoder : ggmlEncoder
  // With ggml a step gathers the keys and the values that each row sees, and puts them into the order of heads.
  const gathered = hasKernel ? 0 : 3 * inner * Math.min(contextSize, MAX_GATHERED_CELLS)
  const decoder = gathered + numBeams * vocabularySize(file)
  const extra = mayHavePackedKernels() ? file.tensors.reduce((sum, tensor) => sum + extraOfPacking(tensor), 0) : 0
  return {
    weights: weightBytes(file) + extra,
    // The source's keys and values of cross-attention are as large as a decoder's cells.
    keysAndValues: (contextSize + sourceLength) * cellBytes(file, kvType),
    compute: FLOAT_BYTES * (Math.max(encoder, decoder) + numBeams * vocabularySize(file)),
  }
}

function decoderOnlyParts(file: ModelFile, size: Size): ModelParts {
  const { contextSize, kvType, sourceLength, numBeams, exact, maxSequences } = size
  const cells = Math.ceil(contextSize / CONTEXT_UNIT) * CONTEXT_UNIT
  const tokens = Math.min(sourceLength, BATCH_SIZE)
  // Without flash attention, which an exact model does without, the scores [heads, cells, tokens] are written out.
  const scores = exact ? count(file, 'attention.head_count') * cells * tokens : 0
  // The gate, the product with it, and what is projected up.
  const step = Math.max(scores, 3 * tokens * count(file, 'feed_forward_length'))
  // libllama clears room for the logits of all sequences and one more; the rows of a step are copied from there.
  const logits = (maxSequences + 1 + numBeams) * vocabularySize(file)
  return {
    weights: weightBytes(file) + repackedBytes(file),
    keysAndValues: cells * cellBytes(file, kvType),
    compute: FLOAT_BYTES * (step + logits),
  }
}

/** Bytes beside those in the file. */
function extraOfPacking({ type, size }: Pick<ModelFile['tensors'][number], 'type' | 'size'>): number {
  return size * (PACKED_EXTRA.get(typeName(type)) ?? 0)
}

/** What libllama takes beside the weights of the file because they are read in another order. */
function repackedBytes(file: ModelFile): number {
  // Where libllama computes with our kernels the pages of the mapped file are given back. That AMX or another program's
  // llama.cpp keep them away, nobody knows before the library is open.
  const plugs = mayHavePackedKernels() && process.platform === 'linux'
  const extra = ({ name, type, shape, size }: ModelFile['tensors'][number]) => {
    const isMatrix = (shape[1] ?? 1) > 1 && (shape[2] ?? 1) === 1
    if (plugs && isMatrix && PACKED_TYPES.includes(typeName(type))) return extraOfPacking({ type, size })
    const isRepacked = REPACKED_TYPES.includes(typeName(type)) && (shape[1] ?? 1) % 8 === 0
    return isRepacked && name !== 'token_embd.weight' ? size : 0
  }
  return file.tensors.reduce((sum, tensor) => sum + extra(tensor), 0)
}

function vocabularyEntries({ metadata }: ModelFile): number {
  const lengths = VOCABULARY_KEYS.map((key) => arrayLength(metadata.get(`tokenizer.ggml.${key}`)))
  return lengths.reduce((sum, length) => sum + length, 0)
}

/** 0 where the file does not say, or says it for each layer on its own. */
function count(file: ModelFile, key: string): number {
  return architectureNumber(file, key) ?? 0
}

function vocabularySize(file: ModelFile): number {
  return file.tensors.find(({ name }) => name === 'token_embd.weight')?.shape[1] ?? 0
}
