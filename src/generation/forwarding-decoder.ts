import type { Decoder, DecoderState, Prompt, RandomGenerator, RowCandidates, StepOptions } from './decoder.ts'

/** A decoder that hands every call on to another. A subclass steps in where it has something to add. */
export abstract class ForwardingDecoder implements Decoder {
  readonly vocabularySize: number
  readonly maxSequences: number
  readonly #decoder: Decoder

  constructor(decoder: Decoder) {
    this.#decoder = decoder
    this.vocabularySize = decoder.vocabularySize
    this.maxSequences = decoder.maxSequences
  }

  start(prompt: Prompt, signal?: AbortSignal): Promise<DecoderState> {
    return this.#decoder.start(prompt, signal)
  }

  step(
    state: DecoderState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    return this.#decoder.step(state, tokens, options, signal)
  }

  reorder(state: DecoderState, parents: readonly number[]): void {
    this.#decoder.reorder(state, parents)
  }

  createGenerator(seed: number): RandomGenerator {
    return this.#decoder.createGenerator(seed)
  }

  dispose(state: DecoderState): Promise<void> {
    return this.#decoder.dispose(state)
  }
}
