import type { LogitsProcessor } from './processor.ts'

/** Ending becomes more likely by a factor with every token behind `start` new ones. */
export function exponentialDecayLengthPenalty(
  [start, factor]: readonly [number, number],
  eosTokenIds: readonly number[],
  promptLength: number,
): LogitsProcessor {
  return (ids) => {
    const tokensBehind = ids.length - (start + promptLength)
    return tokensBehind > 0 ? { kind: 'decay', ids: eosTokenIds, factor: factor ** tokensBehind - 1 } : undefined
  }
}
