import { TandemError } from '../errors.ts'
import type { Decoder, DecoderState, Prompt, RandomGenerator, RowCandidates, StepOptions } from './decoder.ts'
import type { EngineDecoder, EngineState } from './engine-decoder.ts'

/** The text that is being written: what its only row has been fed, and how much of the next tokens that covers. */
interface RunningText {
  state: EngineState
  ids: number[]
  skip: number
}

/**
 * A decoder for prompts that continue one another, as the turns of a chat do: it keeps the keys and values of the last
 * text, and the next prompt is only read from where it differs. One generation at a time; `release` frees the past.
 */
export class KeptPastDecoder implements Decoder<EngineState> {
  readonly vocabularySize: number
  readonly maxSequences: number
  readonly #decoder: EngineDecoder
  /** The state that holds a past, and the ids that its first row has been fed. */
  #kept: { state: EngineState; ids: number[] } | undefined
  #running: RunningText | undefined

  constructor(decoder: EngineDecoder) {
    this.#decoder = decoder
    this.vocabularySize = decoder.vocabularySize
    this.maxSequences = decoder.maxSequences
  }

  async start(prompt: Prompt, signal?: AbortSignal): Promise<EngineState> {
    const state = await this.#decoder.start(prompt, signal)
    const kept = this.#kept
    this.#kept = undefined
    // At least one token must be fed, so that something follows it.
    const isComparable = kept !== undefined && state.padding === 0
    const skip = isComparable ? commonLength(kept.ids, state.promptIds.slice(0, -1)) : 0
    if (kept !== undefined && skip > 0) this.#decoder.adopt(state, kept.state, skip)
    if (kept !== undefined) await this.#decoder.dispose(kept.state)
    this.#running = { state, ids: [...state.promptIds.slice(0, skip)], skip }
    return state
  }

  async step(
    state: EngineState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    const running = this.#running
    if (running?.state !== state) return this.#decoder.step(state, tokens, options, signal)
    // Whatever a step that fails has done to the past, nobody goes on from there.
    this.#running = undefined
    const rows = await this.#readOn(running, tokens, options, signal)
    running.ids.push(...(tokens[0] ?? []).slice(running.skip))
    this.#running = { ...running, skip: 0 }
    return rows
  }

  async #readOn(
    { state, skip }: RunningText,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal: AbortSignal | undefined,
  ): Promise<RowCandidates[]> {
    if (skip === 0) return this.#decoder.step(state, tokens, options, signal)
    try {
      return await this.#decoder.step(
        state,
        tokens.map((row) => row.slice(skip)),
        options,
        signal,
      )
    } catch (error) {
      // Some models (with a sliding window, or recurrent) cannot go back to the middle of a past.
      if (!(error instanceof TandemError) || error.code !== 'unsupported-option') throw error
      this.#decoder.forget(state)
      return this.#decoder.step(state, tokens, options, signal)
    }
  }

  reorder(state: EngineState, parents: readonly number[]): void {
    // Rows that split are no single text any more; what a search with one row has read stays.
    if (this.#running?.state === state && !(parents.length === 1 && parents[0] === 0)) this.#running = undefined
    this.#decoder.reorder(state, parents)
  }

  createGenerator(seed: number): RandomGenerator {
    return this.#decoder.createGenerator(seed)
  }

  async dispose(state: DecoderState): Promise<void> {
    const running = this.#running
    if (running?.state !== state) return this.#decoder.dispose(state as EngineState)
    this.#running = undefined
    this.#kept = { state: running.state, ids: running.ids }
  }

  /** Frees the past. */
  async release(): Promise<void> {
    const kept = this.#kept
    this.#kept = undefined
    if (kept !== undefined) await this.#decoder.dispose(kept.state)
  }
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i
  return length
}
