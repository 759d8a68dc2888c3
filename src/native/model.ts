import { generationAborted, TandemError } from '../errors.ts'
import type { EngineDescription, NativeEngine, NativeGenerator, StepRequest, StepResult, StepRows } from './addon.ts'
import { checkContextMemory } from './context-memory.ts'
import { chooseDevice } from './devices.ts'
import { chooseKernels } from './kernels.ts'
import { checkLibllamaMetadata } from './libllama-limits.ts'
import { asTandemError, loadNative, translate } from './library.ts'
import { architectureOf, arrayLength, type ModelFile } from './model-file.ts'
import { type OpenOptions, resolveOpenOptions } from './open-options.ts'
import { t5Parameters } from './t5-parameters.ts'

const KV_TYPES = { f32: 0, f16: 1 } as const
/** Tokens of a prompt that libllama computes in one piece: its default. */
const BATCH_SIZE = 512

/**
 * A loaded model: one native thread, its weights and its sequences. Calls may overlap; they are carried out in order.
 * All methods reject with TandemError `disposed` once it is disposed.
 */
export class Engine {
  /** Tokens of all sequences together; of an encoder-decoder also of its longest source. */
  readonly contextSize: number
  readonly description: EngineDescription
  readonly #native: NativeEngine
  readonly #freeSequences: number[] = []
  #sequences = 0
  #sources = 0
  #calls = 0

  constructor(native: NativeEngine, contextSize: number) {
    this.#native = native
    this.contextSize = contextSize
    this.description = native.description
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
    if (isAborted(signal)) throw generationAborted(signal)
    const call = this.#calls++
    const cancel = () => this.#native.cancel(call)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await start(call)
    } catch (error) {
      throw isAborted(signal) ? generationAborted(signal) : asTandemError(error)
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

/** A disposed engine has already forgotten everything. */
function ignoreDisposed(error: unknown): void {
  const translated = asTandemError(error)
  if (!(translated instanceof TandemError && translated.code === 'disposed')) throw translated
}

/**
 * Tokens of a file whose texts libllama need not read to compute; 0 where it must. Some architectures count their tokens
 * in a number of their own, which would then be another one.
 */
function unreadVocabularySize(file: ModelFile): number {
  const tokens = file.metadata.get('tokenizer.ggml.tokens')
  if (tokens?.items !== 'string') return 0
  const count = file.metadata.get(`${architectureOf(file)}.vocab_size`)
  return count === undefined || count.value === arrayLength(tokens) ? arrayLength(tokens) : 0
}

/**
 * Loads a model onto a device: an encoder-decoder through our own graph, everything else through libllama.
 *
 * @throws TandemError `invalid-argument`, `device-unavailable`, `library-*`, `unsupported-model`, `out-of-memory`, `io`.
 */
export async function openEngine(file: ModelFile, path: string, options: OpenOptions = {}): Promise<Engine> {
  const device = chooseDevice(options.device ?? 'auto')
  const native = loadNative()
  const { threads, exact, kvType, contextSize, maxSequences } = resolveOpenOptions(file, options)
  const shared = { path, device: device.name, threads, exact, kvType: KV_TYPES[kvType], contextSize }
  checkContextMemory(file, device, { contextSize, kvType })
  const opening = translate(() => {
    if (architectureOf(file) === 't5') {
      return native.openEncoderDecoder({
        ...shared,
        kernels: chooseKernels(native),
        parameters: t5Parameters(file),
        tensors: [...file.tensors],
      })
    }
    const vocabularySize = unreadVocabularySize(file)
    checkLibllamaMetadata(file, { readsVocabulary: vocabularySize === 0 })
    const architecture = architectureOf(file)
    const positionLimit = file.tensors.find(({ name }) => name === 'position_embd.weight')?.shape[1] ?? 0
    return native.openDecoderOnly({
      ...shared,
      maxSequences,
      batchSize: BATCH_SIZE,
      positionLimit,
      architecture,
      vocabularySize,
    })
  })
  return new Engine(await opening.catch((error: unknown) => Promise.reject(asTandemError(error))), contextSize)
}
