import type { RowEdit } from '../decoder.ts'

/**
 * `repetition_penalty`: each id that is already there is penalised once, the start token of an encoder-decoder and the
 * prompt of a decoder-only model included (transformers' `RepetitionPenaltyLogitsProcessor`).
 */
export function repetitionPenalty(penalty: number): (ids: readonly number[]) => RowEdit {
  return (ids) => ({ kind: 'penalize', ids: [...new Set(ids)], penalty })
}
