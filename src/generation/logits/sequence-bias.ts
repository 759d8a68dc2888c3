import type { RowEdit } from '../decoder.ts'
import type { LogitsProcessor } from './processor.ts'

type Biases = readonly (readonly [readonly number[], number])[]

/**
 * Adds a bias to the token that would complete a sequence. The same sequence given twice keeps its last value; biases of
 * different sequences that end in the same token add up. Returns an edit for each value, at most.
 */
export function sequenceBias(biases: Biases): LogitsProcessor[] {
  const bySequence = new Map(biases.map(([sequence, bias]) => [sequence.join(), { sequence, bias }]))
  const entries = [...bySequence.values()]
  return [...new Set(entries.map(({ sequence }) => sequence.at(-1) ?? 0))].map((last) => {
    // Single tokens first, as the reference adds them up.
    const own = entries
      .filter(({ sequence }) => sequence.at(-1) === last)
      .sort((a, b) => Number(a.sequence.length > 1) - Number(b.sequence.length > 1))
    return (ids): RowEdit | undefined => {
      const applying = own.filter(({ sequence }) => endsWith(ids, sequence.slice(0, -1)))
      if (applying.length === 0) return undefined
      const bias = applying.reduce((sum, entry) => Math.fround(sum + Math.fround(entry.bias)), 0)
      return { kind: 'add', ids: [last], bias }
    }
  })
}

/** Bans the token that would complete a bad word; one that is nothing but an end token is no bad word. */
export function badWords(words: readonly (readonly number[])[], eosTokenIds: readonly number[]): LogitsProcessor {
  const isEnd = (word: readonly number[]) => word.length === 1 && eosTokenIds.includes(word[0] ?? -1)
  const bad = words.filter((word) => !isEnd(word))
  return (ids) => ({
    kind: 'ban',
    ids: bad.filter((word) => endsWith(ids, word.slice(0, -1))).map((word) => word.at(-1) ?? 0),
  })
}

function endsWith(ids: readonly number[], end: readonly number[]): boolean {
  return end.length <= ids.length && end.every((id, i) => ids[ids.length - end.length + i] === id)
}
