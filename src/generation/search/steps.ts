import { generationAborted } from '../../errors.ts'
import type { Decoder, DecoderState, RowCandidates, StepOptions } from '../decoder.ts'

/**
 * The steps of a search, each of them begun before anybody is told what the one before has found: what readers do with a
 * token, such as decoding and showing it, then takes no time of its own.
 */
export class Steps {
  readonly #decoder: Decoder
  readonly #state: DecoderState
  readonly #signal: AbortSignal | undefined
  #begun: Promise<RowCandidates[]> | undefined

  constructor(decoder: Decoder, state: DecoderState, signal: AbortSignal | undefined) {
    this.#decoder = decoder
    this.#state = state
    this.#signal = signal
  }

  /** Begins a step for the ids that each row has not read yet. What goes wrong counts where its rows are awaited. */
  begin(unread: readonly (readonly number[])[], options: () => StepOptions): void {
    this.#begun = this.#compute(unread, options)
    this.#begun.catch(() => undefined)
  }

  /** What the step that was begun has found. Rejects as the decoder does, also when it was aborted in the meantime. */
  async rows(): Promise<RowCandidates[]> {
    const rows = (await this.#begun) ?? []
    if (this.#signal?.aborted === true) throw generationAborted(this.#signal)
    return rows
  }

  /** Frees the state, once no step uses it any more: readers may leave at any time. */
  async end(): Promise<void> {
    await this.#begun?.catch(() => undefined)
    await this.#decoder.dispose(this.#state)
  }

  async #compute(unread: readonly (readonly number[])[], options: () => StepOptions): Promise<RowCandidates[]> {
    return this.#decoder.step(this.#state, unread, options(), this.#signal)
  }
}
