import { TandemError } from '../errors.ts'
import { asTandemError, listDevices, loadNative } from '../native/library.ts'
import { engineThreads, weightBytes } from '../native/open-options.ts'
import type { LanguageModel } from './language-model.ts'
import { type LoadOptions, load } from './load.ts'
import { medianOf, StepClock } from './step-clock.ts'
import { stepWeightBytes } from './step-weights.ts'
import { systemMemory } from './system-memory.ts'

/** Options of {@link measureModel}: those of `load`, and how often to measure. */
export interface MeasureOptions extends LoadOptions {
  /** How often everything is measured. Default 3. */
  repetitions?: number
  /** Called after each generation. */
  onMeasured?: (event: { done: number; total: number }) => void
}

/** How long a prompt takes to be read. */
export interface PromptMeasurement {
  /** Tokens of the source, or of a decoder-only model's prompt. */
  length: number
  /** Median of the repetitions, milliseconds. */
  ms: number
  /** `length` over that time. */
  tokensPerSecond: number
}

/** How long a token takes for all beams together. */
export interface StepMeasurement {
  /** Tokens of the source, or of a decoder-only model's prompt. */
  sourceLength: number
  /** Beams that were continued at once. */
  beams: number
  /** Median of all steps, milliseconds: the model, the choice of tokens and the search. */
  ms: number
  /** Bytes of weights that were read in a second. */
  readBandwidth: number
}

/** How fast a model is on this machine. */
export interface ModelMeasurement {
  /** The GGUF file that was loaded. */
  path: string
  /** What kind of model it is. */
  kind: LanguageModel['kind']
  /** `general.architecture`: `t5`, `qwen2`, … */
  architecture: string
  /** Type, or mix of types, of its weights; null where the file does not say. */
  quantization: string | null
  /** Device that computed: `CPU`, `CUDA0`, … */
  device: string
  /** CPU threads that it was loaded with. */
  threads: number
  /** How often everything was measured. */
  repetitions: number
  /** Milliseconds until the model was ready. */
  loadMs: number
  /** Bytes of all weights. */
  weightBytes: number
  /** Bytes of the weights that each step reads. */
  stepBytes: number
  /** A measurement for each length of a prompt. */
  prompts: PromptMeasurement[]
  /** A measurement for each length of a source and number of beams. */
  steps: StepMeasurement[]
  /** Share of the time of steps in which JavaScript ran, whether or not the model waited for it. */
  typescriptShare: number
  /** The memory's limit, with the threads of the model; null where the model runs on another device than a CPU. */
  memory: {
    /** Bytes per second. */
    readBandwidth: number
    /** Milliseconds that a step takes at least. */
    stepMs: number
  } | null
}

const SOURCE_LENGTHS = [16, 128, 512]
const BEAMS = [1, 2, 5]
/** Steps of a generation whose times count; the first follows the prompt and has a single row. */
const STEPS = 16
const REPETITIONS = 3
/** What is read to find the limit of the memory: many times the cache of a desktop's processor. */
const LARGEST_READ = 512

/**
 * Loads a model and measures how long it takes to load, to read prompts and to continue them; its memory is free again
 * afterwards. Everything takes turns, so that what else runs on the machine meets all of it, and medians are returned.
 *
 * Rejects as `load` does, with `invalid-argument` for bad repetitions, and with `aborted`.
 */
export async function measureModel(model: string, options: MeasureOptions = {}): Promise<ModelMeasurement> {
  const { repetitions = REPETITIONS, onMeasured, ...loadOptions } = options
  requireMeasureOptions(repetitions, onMeasured)
  // Penalties and blocked n-grams of the model's own defaults would be measured as well.
  await using loaded = await load(model, { ...loadOptions, modelDefaults: false })
  const { file, kind, loadMs, device } = loaded
  const threads = engineThreads(file.gguf, loadOptions.threads)
  const stepBytes = stepWeightBytes(file.gguf.tensors)
  const times = await measureTimes(loaded, { repetitions, onMeasured, signal: loadOptions.signal })
  return {
    path: file.path,
    kind,
    architecture: file.architecture,
    quantization: file.quantization ?? null,
    device,
    threads,
    repetitions,
    loadMs,
    weightBytes: weightBytes(file.gguf),
    stepBytes,
    ...summary(times, stepBytes),
    memory: isCpu(device) ? await measureMemory(threads, stepBytes, loadOptions.signal) : null,
  }
}

/** What one work took, in all repetitions. */
interface WorkTimes {
  sourceLength: number
  beams: number
  prompts: number[]
  steps: number[]
  activeMs: number
  totalMs: number
}

interface TurnOptions {
  repetitions: number
  onMeasured: MeasureOptions['onMeasured']
  signal: AbortSignal | undefined
}

async function measureTimes(model: LanguageModel, options: TurnOptions): Promise<WorkTimes[]> {
  const longest = Math.max(1, model.contextSize - STEPS - 1)
  const lengths = SOURCE_LENGTHS.filter((length) => length <= longest)
  const works = (lengths.length === 0 ? [longest] : lengths).flatMap((sourceLength) =>
    BEAMS.map((beams): WorkTimes => ({ sourceLength, beams, prompts: [], steps: [], activeMs: 0, totalMs: 0 })),
  )
  const total = works.length * options.repetitions
  const last = works.at(-1)
  // Graphs are built, memory is touched and code is compiled in a run that does not count.
  if (last !== undefined) await measureWork(model, { ...last, prompts: [], steps: [] }, options.signal)
  for (let done = 0; done < total; done++) {
    const work = works[done % works.length]
    if (work !== undefined) await measureWork(model, work, options.signal)
    options.onMeasured?.({ done: done + 1, total })
  }
  return works
}

async function measureWork(model: LanguageModel, work: WorkTimes, signal: AbortSignal | undefined): Promise<void> {
  const { sourceLength, beams } = work
  const clock = new StepClock(model.decoder)
  const inputIds = Array.from({ length: sourceLength }, (_, i) => 1 + ((i * 7919) % (model.decoder.vocabularySize - 1)))
  const run = model.run(
    async () => ({ inputIds }),
    () => ({
      doSample: false,
      numBeams: beams,
      maxNewTokens: STEPS + 1,
      eosTokenId: null,
      ...(signal === undefined ? {} : { signal }),
    }),
    clock,
  )
  for await (const _ of run.pieces()) {
    // A text of random tokens that nobody reads.
  }
  clock.stop()
  work.prompts.push(run.result().timings.encodeMs)
  work.steps.push(...clock.stepMs)
  work.activeMs += clock.activeMs
  work.totalMs += clock.totalMs
}

function summary(works: readonly WorkTimes[], stepBytes: number) {
  const sum = (key: 'activeMs' | 'totalMs') => works.reduce((total, work) => total + work[key], 0)
  const lengths = [...new Set(works.map(({ sourceLength }) => sourceLength))]
  return {
    prompts: lengths.map((length): PromptMeasurement => {
      const ms = medianOf(works.flatMap((work) => (work.sourceLength === length ? work.prompts : [])))
      return { length, ms, tokensPerSecond: (length * 1000) / ms }
    }),
    steps: works.map(({ sourceLength, beams, steps }): StepMeasurement => {
      const ms = medianOf(steps)
      return { sourceLength, beams, ms, readBandwidth: (stepBytes * 1000) / ms }
    }),
    typescriptShare: sum('activeMs') / sum('totalMs'),
  }
}

function isCpu(name: string): boolean {
  return listDevices().devices.some((device) => device.name === name && device.type === 'cpu')
}

async function measureMemory(threads: number, stepBytes: number, signal: AbortSignal | undefined) {
  const mebibytes = Math.max(1, Math.min(LARGEST_READ, Math.floor(systemMemory().available / 2 ** 22)))
  const measured = loadNative().measureReadBandwidth(mebibytes, threads)
  const readBandwidth = await measured.catch((error: unknown) => Promise.reject(asTandemError(error)))
  // It takes less than a second, and is over before anybody is told.
  if (signal?.aborted) throw new TandemError('aborted', 'The measurement was aborted', { cause: signal.reason })
  return { readBandwidth, stepMs: (stepBytes * 1000) / readBandwidth }
}

function requireMeasureOptions(repetitions: unknown, onMeasured: unknown): void {
  if (!Number.isSafeInteger(repetitions) || Number(repetitions) < 1) {
    throw new TandemError('invalid-argument', 'Bad repetitions', {
      expected: 'an integer above 0',
      received: String(repetitions),
    })
  }
  if (onMeasured !== undefined && typeof onMeasured !== 'function') {
    throw new TandemError('invalid-argument', 'Bad onMeasured', {
      expected: 'a function',
      received: typeof onMeasured,
    })
  }
}
