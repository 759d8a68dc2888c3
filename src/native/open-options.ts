import { availableParallelism } from 'node:os'
import { TandemError } from '../errors.ts'
import { availableCores } from './cores.ts'
import { architectureNumber, architectureOf, type ModelFile } from './model-file.ts'

/** How the engine of a model is opened. */
export interface OpenOptions {
  /**
   * `auto` (the first GPU of the richest build of llama.cpp that opens here, else the CPU), `cpu`, `cuda`, `vulkan`,
   * `metal` or the name of one device. Default `auto`.
   */
  device?: string
  /**
   * At most so many, and no more than there are cores. Default: all cores that the process or its container may use; one
   * for models of a few megabytes, which gain nothing from more.
   */
  threads?: number
  /**
   * Tokens of all sequences that live at once; also the longest source of an encoder-decoder. Default: 2048 for an
   * encoder-decoder; for others what the model was trained for, 4096 at most.
   */
  contextSize?: number
  /** Stored keys and values; f32 models default to f32, all others to f16. */
  kvType?: 'f32' | 'f16'
  /** Hypotheses that may live at once in a decoder-only model: 255 at most, default 63. */
  maxSequences?: number
}

/** {@link OpenOptions} with nothing left open but the device. */
export interface EngineSettings {
  threads: number
  /** Every value in f32, as the reference computes: for files of f32 only. */
  exact: boolean
  kvType: 'f32' | 'f16'
  contextSize: number
  maxSequences: number
}

/** `ggml_type` number. */
const GGML_F32 = 0
const DEFAULT_CONTEXT = 4096
// An encoder's scores grow with the square of its source: [12, 2048, 2048] in f32, 0.2 GB a tensor, at ChatLM's heads.
const DEFAULT_T5_CONTEXT = 2048
// libllama has 256 sequence numbers, and the engine needs one of them itself.
const MAX_SEQUENCES = 255
// Enough for the 50 candidates that contrastive search has by default. libllama keeps a row of logits for each: 39 MB
// at Qwen2.5's 151,936 tokens.
const DEFAULT_SEQUENCES = 63
// GGML_MAX_N_THREADS
const MAX_THREADS = 512
// Waking a second thread at every node of the graph costs more than it computes: nano-chatlm (5 MB) made 1436 tokens/s
// on one thread and 122 on two. Where it begins to pay has not been measured; this is well below the models we know.
const SINGLE_THREAD_BYTES = 32 * 2 ** 20

/**
 * What a model is opened with.
 *
 * @throws TandemError `invalid-argument`
 */
export function resolveOpenOptions(file: ModelFile, options: OpenOptions): EngineSettings {
  const exact = file.tensors.every(({ type }) => type === GGML_F32)
  return {
    threads: engineThreads(file, options.threads),
    exact,
    kvType: options.kvType ?? (exact ? 'f32' : 'f16'),
    contextSize: positiveInteger('contextSize', options.contextSize ?? defaultContext(file)),
    maxSequences: positiveInteger('maxSequences', options.maxSequences ?? DEFAULT_SEQUENCES, MAX_SEQUENCES),
  }
}

/** Bytes of all weights as they lie in the file. */
export function weightBytes({ tensors }: ModelFile): number {
  return tensors.reduce((sum, { size }) => sum + size, 0)
}

/**
 * Threads of an engine for which so many are wanted. Those beyond the cores would wait for one that cannot run: at every
 * node of the graph, and for as long as the system lets each of them wait. ChatLM's shape took 32 times as long with four
 * threads on two cores as with two.
 *
 * @throws TandemError `invalid-argument`
 */
export function engineThreads(file: ModelFile, wanted = defaultThreads(file)): number {
  return Math.min(positiveInteger('threads', wanted, MAX_THREADS), availableParallelism())
}

function defaultThreads(file: ModelFile): number {
  return weightBytes(file) < SINGLE_THREAD_BYTES ? 1 : availableCores()
}

function defaultContext(file: ModelFile): number {
  if (architectureOf(file) === 't5') return DEFAULT_T5_CONTEXT
  return Math.min(DEFAULT_CONTEXT, architectureNumber(file, 'context_length') || DEFAULT_CONTEXT)
}

/** @throws TandemError `invalid-argument` unless the value is an integer from 1 to the limit */
export function positiveInteger(name: string, value: number, limit = 2 ** 31 - 1): number {
  if (Number.isInteger(value) && value > 0 && value <= limit) return value
  throw new TandemError('invalid-argument', `Bad ${name}`, {
    expected: `an integer from 1 to ${limit}`,
    received: String(value),
  })
}
