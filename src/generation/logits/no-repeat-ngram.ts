import type { LogitsProcessor } from './processor.ts'

/** Bans every token that would write an n-gram of the text a second time (Paulus et al. 2017). */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (ids) => (ids.length + 1 < size ? undefined : { kind: 'ban', ids: followers(ids, ids, size) })
}

/** Bans every token that would write an n-gram of the input. */
export function encoderNoRepeatNgram(size: number, inputIds: readonly number[]): LogitsProcessor {
  return (ids) => (ids.length + 1 < size ? undefined : { kind: 'ban', ids: followers(inputIds, ids, size) })
}

/** The ids that follow in `source` wherever it holds the last `size - 1` of `ids`. */
function followers(source: readonly number[], ids: readonly number[], size: number): number[] {
  const key = ids.slice(ids.length - (size - 1))
  const found = new Set<number>()
  for (let begin = 0; begin + size <= source.length; begin++) {
    const follower = source[begin + size - 1]
    if (follower !== undefined && key.every((id, i) => source[begin + i] === id)) found.add(follower)
  }
  return [...found]
}
