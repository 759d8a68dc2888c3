import type { RowEdit } from '../decoder.ts'
import type { GenerationConfig } from '../options.ts'
import { repetitionPenalty } from './repetition-penalty.ts'

/** Turns the ids of a hypothesis so far, leading padding left out, into an edit of its next row of logits. */
export type LogitsProcessor = (ids: readonly number[]) => RowEdit

/** The processors that the options ask for, in the order in which transformers applies them. */
export function logitsProcessors(config: GenerationConfig): LogitsProcessor[] {
  return config.repetitionPenalty === 1 ? [] : [repetitionPenalty(config.repetitionPenalty)]
}
