import type { LogitsProcessor } from './processor.ts'

/** Each id that is already there, once (Keskar et al. 2019); left padding is no part of the text. */
export function repetitionPenalty(penalty: number, padding: number): LogitsProcessor {
  return (ids) => ({ kind: 'penalize', ids: [...new Set(ids.slice(padding))], penalty })
}

/** Each id of the input, padding and end tokens among them, with the inverse of the factor. */
export function encoderRepetitionPenalty(penalty: number, inputIds: readonly number[]): LogitsProcessor {
  const distinct = [...new Set(inputIds)]
  return () => ({ kind: 'penalize', ids: distinct, penalty: 1 / penalty })
}
