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

/** One edit of a row of scores, decided in TypeScript and carried out in C++ (`native/sampling/row_edits.h`). */
export type RowEdit =
  | { kind: 'penalize'; ids: readonly number[]; penalty: number }
  | { kind: 'ban'; ids: readonly number[] }
  | { kind: 'keep'; ids: readonly number[] }
  | { kind: 'force'; ids: readonly number[] }
  | { kind: 'add'; ids: readonly number[]; bias: number }
  | { kind: 'decay'; ids: readonly number[]; factor: number }
  | { kind: 'removeInvalid' }
  | { kind: 'logSoftmax' }
  | Warper
  | { kind: 'callback'; process: RowCallback }

/** A filter of sampling; `minTokensToKeep` tokens survive it in any case. */
export interface Warper {
  kind: 'temperature' | 'topH' | 'topK' | 'topP' | 'minP' | 'typicalP' | 'epsilonCutoff' | 'etaCutoff'
  /** The option of the same name. */
  value: number
  minTokensToKeep: number
}

/** Changes the scores `[vocabulary]` of one row in place. */
export type RowCallback = (scores: Float32Array) => void

/** A source of random numbers; opaque to the search. */
export interface RandomGenerator {
  readonly native: 'generator'
}

/**
 * Draw the candidates instead of taking the best. The reference fills a matrix `[matrixRows, vocabulary]` with random
 * numbers at each step, for hypotheses that have ended as well; the rows of this step are some rows of it.
 */
export interface Draw {
  generator: RandomGenerator
  /** The row of the matrix that each row of the step draws from, ascending. */
  rows: readonly number[]
  matrixRows: number
}

/** What a search asks of one step. */
export interface StepOptions {
  /** How many tokens to return: for each row, or for all rows together when there are beam scores. */
  candidates: number
  /** Edits of each row, applied in order. */
  edits?: readonly (readonly RowEdit[])[]
  /** Score of each row so far, added to what follows it; the rows then compete for the candidates. */
  beamScores?: readonly number[]
  draw?: Draw
  /** Also return the hidden state of every token that the step feeds. */
  hiddenStates?: boolean
  /** Also return the whole edited rows; of single rows only. */
  logits?: boolean
}

/** Tokens that may follow one row, or any of the rows that compete; without those that are banned or no numbers. */
export interface RowCandidates {
  /** Best first, or in the order in which they were drawn. */
  ids: Int32Array
  /** Edited scores with the beam score, as long as `ids`. */
  scores: Float32Array
  /** The row that each continues, as long as `ids`; all 0 when rows do not compete. */
  beams: Int32Array
  /** Of the whole edited row, without a beam score: `score - logSumExp` is a log-probability. 0 when rows compete. */
  logSumExp: number
  /** `[tokens of the row × hidden size]`, after the final norm. Empty unless asked for. */
  hiddenStates: Float32Array
  /** `[vocabulary]` when asked for. */
  logits?: Float32Array
}

/** Opaque to the search; it holds `rows` hypotheses of one prompt. */
export interface DecoderState {
  /** Number of hypotheses. */
  readonly rows: number
  /** The decoder's own prompt: the start token, or the whole prompt of a decoder-only model. Feed it first. */
  readonly promptIds: readonly number[]
  /** How many of `promptIds` are left padding, which the model never sees. */
  readonly padding: number
}

export interface Decoder<State extends DecoderState = DecoderState> {
  readonly vocabularySize: number
  /** Hypotheses that may live at once, of all requests together. */
  readonly maxSequences: number
  /** Reads a prompt: runs the encoder, or only reserves the rows. One hypothesis at first. */
  start(prompt: Prompt, signal?: AbortSignal): Promise<State>
  /**
   * Feeds each row its next tokens and returns the candidates that follow the last of them: for each row, or, when there
   * are beam scores, one list for all of them.
   */
  step(
    state: State,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]>
  /** From the next step on, row `i` continues what row `parents[i]` was; changes the number of rows too. */
  reorder(state: State, parents: readonly number[]): void
  /** The random numbers of `torch.manual_seed(seed)` on a CPU. */
  createGenerator(seed: number): RandomGenerator
  /** Frees the rows; idempotent. */
  dispose(state: State): Promise<void>
}
