import { TandemError } from '../../errors.ts'
import type { Decoder, DecoderState, Prompt, RowCandidates } from '../decoder.ts'
import { lengthLimit } from '../lengths.ts'
import { type RowRules, rowRules } from '../logits/processors.ts'
import type { GenerationConfig } from '../options.ts'
import { type CompletesStopString, type FinishReason, type FinishRule, finishRule } from '../stopping.ts'

/** One text that a search found or is still writing. */
export interface Hypothesis {
  /** New ids only, up to and including the end token. */
  ids: readonly number[]
  /** Sum of log-probabilities over the length penalty, for beams; null for every other search. */
  score: number | null
  /** Undefined while the text goes on. */
  finishReason: FinishReason | undefined
}

/** What a search tells while it runs. */
export type SearchEvent =
  /** A token that will stay. Sequences are numbered from 0; only sampling has more than one. */
  | { kind: 'token'; sequence: number; token: number; finishReason: FinishReason | undefined }
  /** After a step of a beam search: the ended texts and the living beams, each list best first. */
  | { kind: 'beams'; finished: readonly Hypothesis[]; running: readonly Hypothesis[] }

/** Yields what happens and returns the texts, the best first. */
export type SearchRun = AsyncGenerator<SearchEvent, Hypothesis[], void>

export interface SearchRequest {
  prompt: Prompt
  config: GenerationConfig
  completesStopString?: CompletesStopString | undefined
  /** Whether anybody still wants more than has been computed; they do unless told otherwise. */
  isWanted?: () => boolean
}

/**
 * A search drives a decoder. Both reject with `aborted` when the signal says so; leaving the loop, by any way, frees the
 * decoder's state.
 */
export type Search = (decoder: Decoder, request: SearchRequest, signal?: AbortSignal) => SearchRun

/** What the options say about a text, once its prompt has been read. */
export interface TextRules {
  rowRules: RowRules
  finishRule: FinishRule
  lengthLimit: number
}

export function textRules(decoder: Decoder, state: DecoderState, request: SearchRequest): TextRules {
  const { config, prompt, completesStopString } = request
  checkRows(config, decoder.maxSequences)
  const limit = lengthLimit(config, state.promptIds.length)
  const context = {
    inputIds: prompt.inputIds,
    promptLength: state.promptIds.length,
    padding: state.padding,
    lengthLimit: limit,
    vocabularySize: decoder.vocabularySize,
  }
  return {
    rowRules: rowRules(config, context),
    finishRule: finishRule(config, limit, completesStopString),
    lengthLimit: limit,
  }
}

/** Before any of them is made: memory for a million texts, or their draws, would end more than this request. */
function checkRows({ numBeams, numReturnSequences }: GenerationConfig, maxSequences: number): void {
  const rows = Math.max(numBeams, numReturnSequences)
  if (rows <= maxSequences) return
  throw new TandemError('too-many-sequences', 'The model was opened for fewer hypotheses', {
    expected: `num_beams and num_return_sequences of at most ${maxSequences}`,
    received: String(rows),
  })
}

/** The first candidate of a row, which the rules may have left without any. */
export function firstToken(row: RowCandidates | undefined): number {
  const token = row?.ids[0]
  if (token !== undefined) return token
  throw noToken()
}

export function noToken(): TandemError {
  return new TandemError('compute-failed', 'There is no token to choose', {
    remedy: 'The options forbid every token here, or make a score infinite',
  })
}
