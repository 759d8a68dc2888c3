import { availableParallelism } from 'node:os'
import { TandemError } from '../errors.ts'
import type {
  EngineDescription,
  NativeDevice,
  NativeEngine,
  NativeGenerator,
  StepRequest,
  StepResult,
  StepRows,
} from './addon.ts'
import { checkContextMemory } from './context-memory.ts'
import { checkLibllamaMetadata } from './libllama-limits.ts'
import { asTandemError, listDevices, loadNative, translate } from './library.ts'
import { architectureNumber, architectureOf, type ModelFile } from './model-file.ts'
import { t5Parameters } from './t5-parameters.ts'
import { variantFor } from './variants.ts'

export interface OpenOptions {
  /** `auto`, `cpu`, `cuda`, `vulkan`, `metal` or the name of one device. */
  device?: string
  /** Default: all cores; one for models of a few megabytes, which gain nothing from more. */
  threads?: number
  /** Tokens of all sequences that live at once; also the longest source of an encoder-decoder. */
  contextSize?: number
  /** Stored keys and values; f32 models default to f32, all others to f16. */
  kvType?: 'f32' | 'f16'
  /** Hypotheses that may live at once in a decoder-only model. */
  maxSequences?: number
}

const KV_TYPES = { f32: 0, f16: 1 } as const
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
 * A loaded model: one native thread, its weights and its sequences. Calls may overlap; they are carried out in order.
 * All methods reject with TandemError `disposed` once it is disposed.
 */
export class Engine {
  /** Tokens of all sequences together; of an encoder-decoder also of its longest source. */
  readonly contextSize: number
  readonly #native: NativeEngine
  readonly #freeSequences: number[] = []
  #sequences = 0
  #sources = 0
  #calls = 0

  constructor(native: NativeEngine, contextSize: number) {
    this.#native = native
    this.contextSize = contextSize
  }

  get description(): EngineDescription {
    return this.#native.description
  }

  /** Runs the encoder; returns the number under which the source is kept until it is released. */
  async encode(ids: readonly number[], attentionMask: readonly number[], signal?: AbortSignal): Promise<number> {
    const source = this.#sources++
    await this.#cancellable(signal, (call) =>
      this.#native.encode(source, Int32Array.from(ids), Uint8Array.from(attentionMask), call),
    )
    return source
  }

  step(rows: StepRows, request: StepRequest, signal?: AbortSignal): Promise<StepResult> {
    return this.#cancellable(signal, (call) => this.#native.step(rows, request, call))
  }

  /** What `step` does with rows of logits, for `[rows × vocabulary]` that a callback has changed. */
  choose(logits: Float32Array, request: StepRequest, signal?: AbortSignal): Promise<StepResult> {
    return this.#cancellable(signal, (call) => this.#native.choose(logits, request, call))
  }

  /** torch's random generator after `torch.manual_seed(seed)`. */
  createGenerator(seed: number): NativeGenerator {
    return loadNative().createGenerator(Number(BigInt.asUintN(32, BigInt(seed))))
  }

  /** Reserves a sequence number. */
  takeSequence(): number {
    const sequence = this.#freeSequences.pop() ?? this.#sequences
    if (sequence >= this.description.maxSequences) {
      throw new TandemError('too-many-sequences', 'More hypotheses are alive than the model was opened for', {
        expected: `at most ${this.description.maxSequences}`,
        remedy: 'Raise maxSequences, or wait for other requests to end',
      })
    }
    if (sequence === this.#sequences) this.#sequences++
    return sequence
  }

  async release(sequences: readonly number[], sources: readonly number[]): Promise<void> {
    this.#freeSequences.push(...sequences)
    await this.#native.release(Int32Array.from(sequences), Int32Array.from(sources)).catch(ignoreDisposed)
  }

  /** Idempotent; safe in the middle of a step, which then rejects. */
  dispose(): Promise<void> {
    return this.#native.dispose()
  }

  async #cancellable<Result>(signal: AbortSignal | undefined, start: (call: number) => Promise<Result>) {
    if (isAborted(signal)) throw abortedError(signal)
    const call = this.#calls++
    const cancel = () => this.#native.cancel(call)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await start(call)
    } catch (error) {
      throw isAborted(signal) ? abortedError(signal) : asTandemError(error)
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

function abortedError(signal: AbortSignal | undefined): TandemError {
  return new TandemError('aborted', 'The generation was aborted', { cause: signal?.reason })
}

/** A disposed engine has already forgotten everything. */
function ignoreDisposed(error: unknown): void {
  const translated = asTandemError(error)
  if (!(translated instanceof TandemError && translated.code === 'disposed')) throw translated
}

/**
 * Loads a model onto a device: an encoder-decoder through our own graph, everything else through libllama.
 *
 * @throws TandemError `invalid-argument`, `device-unavailable`, `library-*`, `unsupported-model`, `out-of-memory`, `io`.
 */
export async function openEngine(file: ModelFile, path: string, options: OpenOptions = {}): Promise<Engine> {
  const device = chooseDevice(options.device ?? 'auto')
  const native = loadNative()
  const exact = file.tensors.every((tensor) => tensor.type === KV_TYPES.f32)
  const shared = {
    path,
    device: device.name,
    threads: positiveInteger('threads', options.threads ?? defaultThreads(file), MAX_THREADS),
    exact,
    kvType: KV_TYPES[options.kvType ?? (exact ? 'f32' : 'f16')],
  }
  const isEncoderDecoder = architectureOf(file) === 't5'
  const defaultContext = isEncoderDecoder ? DEFAULT_T5_CONTEXT : Math.min(DEFAULT_CONTEXT, trainedContext(file))
  const contextSize = positiveInteger('contextSize', options.contextSize ?? defaultContext)
  checkContextMemory(file, device, { contextSize, valueBytes: shared.kvType === KV_TYPES.f32 ? 4 : 2 })
  const opening = translate(() => {
    if (isEncoderDecoder) {
      return native.openEncoderDecoder({
        ...shared,
        parameters: t5Parameters(file),
        tensors: [...file.tensors],
        contextSize,
      })
    }
    const maxSequences = positiveInteger('maxSequences', options.maxSequences ?? DEFAULT_SEQUENCES, MAX_SEQUENCES)
    checkLibllamaMetadata(file)
    const positionLimit = file.tensors.find(({ name }) => name === 'position_embd.weight')?.shape[1] ?? 0
    return native.openDecoderOnly({ ...shared, contextSize, maxSequences, batchSize: 512, positionLimit })
  })
  return new Engine(await opening.catch((error: unknown) => Promise.reject(asTandemError(error))), contextSize)
}

/** Threads of an engine for which nobody chose a number. */
export function defaultThreads(file: ModelFile): number {
  const weightBytes = file.tensors.reduce((sum, { size }) => sum + size, 0)
  return weightBytes < SINGLE_THREAD_BYTES ? 1 : availableParallelism()
}

function trainedContext(file: ModelFile): number {
  return architectureNumber(file, 'context_length') || DEFAULT_CONTEXT
}

function chooseDevice(wanted: string): NativeDevice {
  const { variant, devices } = listDevices({ variant: variantFor(wanted) })
  const found =
    devices.find((device) => device.name === wanted) ??
    devices.find((device) => matchesKind(device, wanted)) ??
    (wanted === 'auto' ? devices.find((device) => device.type === 'cpu') : undefined)
  if (found !== undefined) return found
  throw new TandemError('device-unavailable', `There is no device for "${wanted}" here`, {
    expected: `auto, cpu${devices.map((device) => `, ${device.name} (${device.description})`).join('')}`,
    received: wanted,
    remedy: `The ${variant} variant of llama.cpp is loaded`,
  })
}

function matchesKind(device: NativeDevice, wanted: string): boolean {
  if (wanted === 'cpu') return device.type === 'cpu'
  const isGpu = device.type === 'gpu' || device.type === 'igpu'
  const backend = device.backend.toLowerCase()
  return isGpu && (wanted === 'auto' || (backend === 'mtl' ? 'metal' : backend) === wanted)
}

function positiveInteger(name: string, value: number, limit = 2 ** 31 - 1): number {
  if (Number.isInteger(value) && value > 0 && value <= limit) return value
  throw new TandemError('invalid-argument', `Bad ${name}`, {
    expected: `an integer from 1 to ${limit}`,
    received: String(value),
  })
}
