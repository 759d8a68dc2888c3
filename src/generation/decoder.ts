/**
 * The only thing a search knows about a model. An encoder-decoder and a decoder-only model differ in what `start` puts
 * into the state and in nothing else (the shape is that of CTranslate2's `layers/decoder.h`).
 */

/** A prompt of one request, in token ids. */
export interface Prompt {
  /** Encoder input of an encoder-decoder; the whole prompt of a decoder-only model. */
  inputIds: readonly number[]
  /** 1 for a real token, 0 for padding; the same length as `inputIds`. */
  attentionMask: readonly number[]
}

/** One edit of a row of logits, decided in TypeScript and carried out in C++. */
export type RowEdit =
  | { kind: 'penalize'; ids: readonly number[]; penalty: number }
  | { kind: 'ban'; ids: readonly number[] }

/** What a search asks of one step. */
export interface StepOptions {
  /** How many of the best tokens to return for each row. */
  candidates: number
  /** Edits of each row, applied in order. */
  edits?: readonly (readonly RowEdit[])[]
  /** Also return the whole edited rows. */
  logits?: boolean
}

/** The best tokens of one row, best first. */
export interface RowCandidates {
  ids: Int32Array
  /** Edited logits, as long as `ids`. */
  scores: Float32Array
  /** Of the whole edited row: `score - logSumExp` is a log-probability. */
  logSumExp: number
  /** `[vocabulary]` when asked for. */
  logits?: Float32Array
}

/** Opaque to the search; it holds `rows` hypotheses of one prompt. */
export interface DecoderState {
  /** Number of hypotheses. */
  readonly rows: number
  /** The decoder's own prompt: the start token, or the whole prompt of a decoder-only model. Feed it first. */
  readonly promptIds: readonly number[]
  /** How many of `promptIds` are left padding that every rule ignores. */
  readonly padding: number
}

export interface Decoder<State extends DecoderState = DecoderState> {
  readonly vocabularySize: number
  /** Reads a prompt: runs the encoder, or only reserves the rows. One hypothesis at first. */
  start(prompt: Prompt, signal?: AbortSignal): Promise<State>
  /** Feeds each row its next tokens and returns the candidates that follow the last of them. */
  step(
    state: State,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]>
  /** From the next step on, row `i` continues what row `parents[i]` was; changes the number of rows too. */
  reorder(state: State, parents: readonly number[]): void
  /** Frees the rows; idempotent. */
  dispose(state: State): Promise<void>
}
