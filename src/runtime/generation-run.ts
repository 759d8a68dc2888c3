import { TandemError } from '../errors.ts'
import type { Decoder, DecoderState, Prompt, RowCandidates, StepOptions } from '../generation/decoder.ts'
import { ForwardingDecoder } from '../generation/forwarding-decoder.ts'
import type { GenerationConfig } from '../generation/options.ts'
import type { Hypothesis, SearchEvent } from '../generation/search/search.ts'
import { SEARCHES } from '../generation/search/searches.ts'
import type { CompletesStopString, FinishReason as EndReason } from '../generation/stopping.ts'
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts'
import type { StreamedRun } from './generation-stream.ts'

/** Why a text ended: its end token, its length, a stop string or time limit, or the reader who left. */
export type FinishReason = EndReason | 'abort'

/** One of the texts that a generation found. */
export interface GeneratedSequence {
  /** New text, special tokens left out. */
  text: string
  /** New ids only, up to and including the first end-of-sequence id. */
  ids: number[]
  /** Sum of log-probabilities over the length penalty, for beams; null for every other search. */
  score: number | null
  /** Why it ended: `eos`, `length`, `stop` or `abort`. */
  finishReason: FinishReason
}

/** What a generation gave; its own text is the first, and best, of its sequences. */
export interface GenerationResult extends GeneratedSequence {
  /** `numReturnSequences` texts; fewer where no more were to be found. */
  sequences: GeneratedSequence[]
  /** Of the random draws, given or drawn afresh; null where nothing is drawn. */
  seed: number | null
  /** Text that was encoded, when the input was text or messages. */
  prompt: string | undefined
  /** What the model has read, without its decoder's start token. */
  inputIds: number[]
  /** Tokens of the input, and of all sequences together. */
  usage: { inputTokens: number; outputTokens: number }
  /** Milliseconds: `encodeMs` is the time until the prompt was read, `decodeMs` the rest. */
  timings: { loadMs: number; encodeMs: number; decodeMs: number; steps: number }
}

/** A text of a beam search that has ended or still goes on. */
export interface BeamText {
  /** New text so far, special tokens left out. */
  text: string
  /** New ids so far. */
  ids: number[]
  /** Comparable between texts of different lengths: divided by the length penalty. */
  score: number
  /** Undefined while the text goes on. */
  finishReason: EndReason | undefined
}

/** What a generation tells after each step. */
export type GenerationEvent =
  /** A token that will stay; sequences are numbered from 0. */
  | { kind: 'token'; sequence: number; token: number; finishReason: EndReason | undefined }
  /** The best texts so far, each list best first. */
  | { kind: 'beams'; finished: BeamText[]; running: BeamText[] }

/** A request whose input has been turned into ids. */
export interface PreparedRequest {
  prompt: Prompt
  text: string | undefined
  config: GenerationConfig
  completesStopString?: CompletesStopString | undefined
}

/** What a run needs of its model. */
export interface RunEnvironment {
  decoder: Decoder
  tokenizer: TextTokenizer
  /** A decoder-only model reads its prompt in the first step, not in `start`. */
  readsPromptInFirstStep: boolean
  loadMs: number
}

/** How a caller follows a run. */
export interface RunOptions {
  signal?: AbortSignal | undefined
  onStep?: ((event: GenerationEvent) => void) | undefined
}

/** One generation: the pieces of its text as they come, and at any time the result so far. */
export class GenerationRun implements StreamedRun {
  readonly #environment: RunEnvironment
  readonly #prepare: () => Promise<PreparedRequest>
  readonly #options: RunOptions
  readonly #timed: TimedDecoder
  #request: PreparedRequest | undefined
  #hypotheses: readonly Hypothesis[] = []
  #hasLeft = false

  constructor(environment: RunEnvironment, prepare: () => Promise<PreparedRequest>, options: RunOptions = {}) {
    this.#environment = environment
    this.#prepare = prepare
    this.#options = options
    this.#timed = new TimedDecoder(environment.decoder, environment.readsPromptInFirstStep)
  }

  /** Pieces of the first text. Beams change their minds until the end, so theirs is one piece. */
  async *pieces(): AsyncGenerator<string, void, void> {
    checkFollowers(this.#options)
    this.#request = await this.#prepare()
    const request = { ...this.#request, isWanted: () => !this.#hasLeft }
    const search = SEARCHES[request.config.mode](this.#timed, request, this.#options.signal)
    const text = this.#environment.tokenizer.decodeStream({ skipSpecialTokens: true })
    try {
      for (let step = await search.next(); ; step = await search.next()) {
        if (step.done === true) {
          this.#hypotheses = step.value
          break
        }
        this.#follow(step.value)
        const piece = step.value.kind === 'token' && step.value.sequence === 0 ? text.push(step.value.token) : ''
        if (piece !== '') yield piece
        if (this.#hasLeft) break
      }
    } finally {
      await search.return([])
    }
    const rest = this.#request.config.mode === 'beam' ? this.#text(this.#hypotheses[0]?.ids ?? []) : text.finish()
    if (rest !== '') yield rest
  }

  leave(): void {
    this.#hasLeft = true
  }

  result(): GenerationResult {
    const inputIds = [...(this.#request?.prompt.inputIds ?? [])]
    const count = this.#request?.config.numReturnSequences ?? 1
    const sequences = this.#hypotheses.slice(0, count).map(
      (hypothesis): GeneratedSequence => ({
        text: this.#text(hypothesis.ids),
        ids: [...hypothesis.ids],
        score: hypothesis.score,
        finishReason: hypothesis.finishReason ?? 'abort',
      }),
    )
    const first = sequences[0] ?? { text: '', ids: [], score: null, finishReason: 'abort' }
    return {
      ...first,
      sequences,
      seed: this.#request?.config.seed ?? null,
      prompt: this.#request?.text,
      inputIds,
      usage: {
        inputTokens: inputIds.length,
        outputTokens: sequences.reduce((sum, { ids }) => sum + ids.length, 0),
      },
      timings: { loadMs: this.#environment.loadMs, ...this.#timed.timings },
    }
  }

  /** Remembers what there is, for a result before the end, and tells whoever listens. */
  #follow(event: SearchEvent): void {
    if (event.kind === 'beams') {
      this.#hypotheses = [...event.finished, ...event.running].sort((a, b) => (b.score ?? 0) - (a.score ?? 0))
      this.#options.onStep?.({
        kind: 'beams',
        finished: event.finished.map((hypothesis) => this.#beamText(hypothesis)),
        running: event.running.map((hypothesis) => this.#beamText(hypothesis)),
      })
      return
    }
    const { sequence, token, finishReason } = event
    const hypotheses = [...this.#hypotheses]
    hypotheses[sequence] = { ids: [...(hypotheses[sequence]?.ids ?? []), token], score: null, finishReason }
    this.#hypotheses = hypotheses
    this.#options.onStep?.(event)
  }

  #beamText({ ids, score, finishReason }: Hypothesis): BeamText {
    return { text: this.#text(ids), ids: [...ids], score: score ?? 0, finishReason }
  }

  #text(ids: readonly number[]): string {
    return this.#environment.tokenizer.decode(ids, { skipSpecialTokens: true })
  }
}

/** Types do not reach those who write JavaScript, or lines of JSON. */
function checkFollowers({ signal, onStep }: RunOptions): void {
  if ((onStep ?? undefined) !== undefined && typeof onStep !== 'function') {
    throw new TandemError('invalid-argument', 'Bad onStep', { expected: 'a function', received: typeof onStep })
  }
  if ((signal ?? undefined) !== undefined && typeof signal?.addEventListener !== 'function') {
    throw new TandemError('invalid-argument', 'Bad signal', { expected: 'an AbortSignal', received: typeof signal })
  }
}

/** A decoder that knows how long it took. */
class TimedDecoder extends ForwardingDecoder {
  readonly timings = { encodeMs: 0, decodeMs: 0, steps: 0 }
  readonly #readsPromptInFirstStep: boolean

  constructor(decoder: Decoder, readsPromptInFirstStep: boolean) {
    super(decoder)
    this.#readsPromptInFirstStep = readsPromptInFirstStep
  }

  override start(prompt: Prompt, signal?: AbortSignal): Promise<DecoderState> {
    return this.#during('encodeMs', () => super.start(prompt, signal))
  }

  override step(
    state: DecoderState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    const isPrompt = this.#readsPromptInFirstStep && this.timings.steps === 0
    this.timings.steps += 1
    return this.#during(isPrompt ? 'encodeMs' : 'decodeMs', () => super.step(state, tokens, options, signal))
  }

  async #during<T>(phase: 'encodeMs' | 'decodeMs', work: () => Promise<T>): Promise<T> {
    const begin = performance.now()
    try {
      return await work()
    } finally {
      this.timings[phase] += performance.now() - begin
    }
  }
}
