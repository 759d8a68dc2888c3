import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import type { DecoderState, RowCandidates, StepOptions } from '../generation/decoder.ts'
import { ForwardingDecoder } from '../generation/forwarding-decoder.ts'

/** A decoder of one generation that knows when each of its steps began. */
export class StepClock extends ForwardingDecoder {
  /** When steps began, and when the last of them had been made use of. */
  readonly #marks: number[] = []
  #steps = 0
  #begin: EventLoopUtilization | undefined
  #spent: EventLoopUtilization | undefined

  /** From one step to the next, with all that the search does in between; without the first, which may read a prompt. */
  get stepMs(): number[] {
    return this.#marks.slice(1).map((mark, i) => mark - (this.#marks[i] ?? mark))
  }

  /** Time of those steps in which JavaScript ran. */
  get activeMs(): number {
    return this.#spent?.active ?? 0
  }

  get totalMs(): number {
    return (this.#spent?.active ?? 0) + (this.#spent?.idle ?? 0)
  }

  /** Ends the last step. */
  stop(): void {
    this.#marks.push(performance.now())
    if (this.#begin !== undefined) this.#spent = performance.eventLoopUtilization(this.#begin)
  }

  override step(
    state: DecoderState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    this.#steps += 1
    if (this.#steps === 2) this.#begin = performance.eventLoopUtilization()
    if (this.#steps >= 2) this.#marks.push(performance.now())
    return super.step(state, tokens, options, signal)
  }
}

/** NaN of an empty list. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}
