import { generationAborted } from '../../errors.ts'
import type { Decoder, DecoderState, RowCandidates, StepOptions } from '../decoder.ts'
import type { SearchRequest } from './search.ts'

/** What is asked of a step: the ids that each row has not read yet, and what becomes of their scores. */
export interface NextStep {
  unread: readonly (readonly number[])[]
  options: StepOptions
}

/**
 * The steps of a search. Each is begun before anybody is told what the one before has found: what readers do with a token,
 * such as decoding and showing it, then passes while the model computes. Not so where functions of the caller decide about tokens,
 * who may rely on having been told, nor where nobody wants another token.
 */
export class Steps {
  readonly #decoder: Decoder
  readonly #state: DecoderState
  readonly #signal: AbortSignal | undefined
  readonly #isAhead: () => boolean
  #compute: () => Promise<RowCandidates[]> = () => Promise.resolve([])
  #begun: Promise<RowCandidates[]> | undefined

  constructor(decoder: Decoder, state: DecoderState, request: SearchRequest, signal: AbortSignal | undefined) {
    const { config, isWanted = () => true } = request
    const asksCaller = config.prefixAllowedTokensFn !== undefined || config.logitsProcessors.length > 0
    this.#decoder = decoder
    this.#state = state
    this.#signal = signal
    this.#isAhead = () => !asksCaller && isWanted()
  }

  /** Says what the next step is. What goes wrong, also in `next`, counts where its rows are awaited. */
  begin(next: () => NextStep): void {
    this.#compute = async () => {
      const { unread, options } = next()
      return this.#decoder.step(this.#state, unread, options, this.#signal)
    }
    this.#begun = this.#isAhead() ? this.#compute() : undefined
    this.#begun?.catch(() => undefined)
  }

  /** What that step has found. Rejects as the decoder does, also when it was aborted in the meantime. */
  async rows(): Promise<RowCandidates[]> {
    this.#begun ??= this.#compute()
    const rows = await this.#begun
    if (this.#signal?.aborted === true) throw generationAborted(this.#signal)
    return rows
  }

  /** Frees the state, once no step uses it any more: readers may leave at any time. */
  async end(): Promise<void> {
    await this.#begun?.catch(() => undefined)
    await this.#decoder.dispose(this.#state)
  }
}
