import type { RowEdit } from '../decoder.ts'

/** Decides from the ids so far, the decoder's prompt included, what happens to the scores of the next token. */
export type LogitsProcessor = (ids: readonly number[]) => RowEdit | undefined

/** What processors know of the text that is being written. */
export interface ProcessorContext {
  /** The encoder's input; for a decoder-only model the whole prompt. Padding included. */
  inputIds: readonly number[]
  /** Length of the decoder's own prompt, padding included. */
  promptLength: number
  /** How many of the decoder's first ids are padding. */
  padding: number
  /** Length at which the text ends, the prompt included. */
  lengthLimit: number
  vocabularySize: number
}
