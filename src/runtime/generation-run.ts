import type { Decoder, DecoderState, Prompt, RowCandidates, StepOptions } from '../generation/decoder.ts'
import type { GenerationConfig } from '../generation/options.ts'
import { greedySearch } from '../generation/search/greedy.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

/** Why a text ended: its end token, its length, a stop text, or the reader who left. */
export type FinishReason = 'eos' | 'length' | 'stop' | 'abort'

export interface GenerationResult {
  /** New text, special tokens left out. */
  text: string
  /** New ids only, up to and including the first end-of-sequence id. */
  ids: number[]
  finishReason: FinishReason
  /** Log-probability of a beam; null for every other search. */
  score: number | null
  /** Text that was encoded, when the input was text or messages. */
  prompt: string | undefined
  inputIds: number[]
  usage: { inputTokens: number; outputTokens: number }
  /** `encodeMs` is the time until the prompt was read, `decodeMs` the rest. */
  timings: { loadMs: number; encodeMs: number; decodeMs: number; steps: number }
}

/** A request whose input has been turned into ids. */
export interface PreparedRequest {
  prompt: Prompt
  text: string | undefined
  config: GenerationConfig
}

/** What a run needs of its model. */
export interface RunEnvironment {
  decoder: Decoder
  tokenizer: Tokenizer
  /** A decoder-only model reads its prompt in the first step, not in `start`. */
  readsPromptInFirstStep: boolean
  loadMs: number
}

/** One generation: the pieces of its text as they come, and at any time the result so far. */
export class GenerationRun {
  readonly #environment: RunEnvironment
  readonly #prepare: () => Promise<PreparedRequest>
  readonly #signal: AbortSignal | undefined
  readonly #ids: number[] = []
  readonly #timed: TimedDecoder
  #request: PreparedRequest | undefined
  #finishReason: FinishReason = 'abort'
  #hasLeft = false

  constructor(environment: RunEnvironment, prepare: () => Promise<PreparedRequest>, signal: AbortSignal | undefined) {
    this.#environment = environment
    this.#prepare = prepare
    this.#signal = signal
    this.#timed = new TimedDecoder(environment.decoder, environment.readsPromptInFirstStep)
  }

  async *pieces(): AsyncGenerator<string, void, void> {
    this.#request = await this.#prepare()
    const { prompt, config } = this.#request
    const text = this.#environment.tokenizer.decodeStream({ skipSpecialTokens: true })
    for await (const { token, finishReason } of greedySearch(this.#timed, prompt, config, this.#signal)) {
      this.#ids.push(token)
      if (finishReason !== undefined) this.#finishReason = finishReason
      const piece = text.push(token)
      if (piece !== '') yield piece
      if (this.#hasLeft) break
    }
    const rest = text.finish()
    if (rest !== '') yield rest
  }

  /** Ends the run after the step that it is in; the result is then what there was. */
  leave(): void {
    this.#hasLeft = true
  }

  result(): GenerationResult {
    const inputIds = [...(this.#request?.prompt.inputIds ?? [])]
    return {
      text: this.#environment.tokenizer.decode(this.#ids, { skipSpecialTokens: true }),
      ids: [...this.#ids],
      finishReason: this.#finishReason,
      score: null,
      prompt: this.#request?.text,
      inputIds,
      usage: { inputTokens: inputIds.length, outputTokens: this.#ids.length },
      timings: { loadMs: this.#environment.loadMs, ...this.#timed.timings },
    }
  }
}

/** A decoder that knows how long it took. */
class TimedDecoder implements Decoder {
  readonly vocabularySize: number
  readonly timings = { encodeMs: 0, decodeMs: 0, steps: 0 }
  readonly #decoder: Decoder
  readonly #readsPromptInFirstStep: boolean

  constructor(decoder: Decoder, readsPromptInFirstStep: boolean) {
    this.#decoder = decoder
    this.#readsPromptInFirstStep = readsPromptInFirstStep
    this.vocabularySize = decoder.vocabularySize
  }

  start(prompt: Prompt, signal?: AbortSignal): Promise<DecoderState> {
    return this.#during('encodeMs', () => this.#decoder.start(prompt, signal))
  }

  step(
    state: DecoderState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    const isPrompt = this.#readsPromptInFirstStep && this.timings.steps === 0
    this.timings.steps += 1
    return this.#during(isPrompt ? 'encodeMs' : 'decodeMs', () => this.#decoder.step(state, tokens, options, signal))
  }

  reorder(state: DecoderState, parents: readonly number[]): void {
    this.#decoder.reorder(state, parents)
  }

  dispose(state: DecoderState): Promise<void> {
    return this.#decoder.dispose(state)
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
