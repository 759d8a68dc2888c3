import { describe, expect, it } from 'vitest'
import { FakeDecoder, scattered } from '../../../test/generation/fake-decoder.ts'
import { logSoftmax } from '../../../test/generation/fake-rows.ts'
import { search } from '../../../test/generation/search-cases.ts'

const SIZE = 3
const END = 2
const PROMPT = { inputIds: [1], attentionMask: [1] }
const MAX_NEW_TOKENS = 4

/** Every text that may be written, with the sum of its log-probabilities. */
function allTexts(rule: (past: readonly number[]) => readonly number[], ids: readonly number[] = [], sum = 0): Text[] {
  if (ids.at(-1) === END || ids.length === MAX_NEW_TOKENS) return [{ ids, sum }]
  return logSoftmax(rule([...PROMPT.inputIds, ...ids])).flatMap((score, id) =>
    allTexts(rule, [...ids, id], sum + score),
  )
}

interface Text {
  ids: readonly number[]
  sum: number
}

const options = { numBeams: 81, maxNewTokens: MAX_NEW_TOKENS, eosTokenId: END }

describe('beam search', () => {
  it.each([-1, 0, 1, 2])(
    'finds the optimum when it is as wide as the tree, length penalty %d',
    async (lengthPenalty) => {
      for (let seed = 0; seed < 25; seed++) {
        const rule = scattered(SIZE, seed)
        const worth = ({ ids, sum }: Text) => sum / ids.length ** lengthPenalty
        const best = allTexts((past) => rule(past, PROMPT)).sort((a, b) => worth(b) - worth(a))
        const { texts } = await search(new FakeDecoder(SIZE, rule), PROMPT, {
          ...options,
          lengthPenalty,
          numReturnSequences: 3,
        })
        expect(texts.map(({ ids }) => ids)).toEqual(best.slice(0, 3).map(({ ids }) => ids))
        for (const [i, text] of texts.entries())
          expect(text.score).toBeCloseTo(worth(best[i] ?? { ids: [], sum: 0 }), 5)
      }
    },
  )

  it('never lets a score rise as its text grows', async () => {
    for (let seed = 0; seed < 25; seed++) {
      const { events } = await search(new FakeDecoder(12, scattered(12, seed)), PROMPT, {
        numBeams: 4,
        lengthPenalty: 0,
        maxNewTokens: 8,
        eosTokenId: 11,
      })
      const scores = new Map<string, number>([['', 0]])
      for (const event of events) {
        if (event.kind !== 'beams') continue
        for (const { ids, score } of [...event.running, ...event.finished]) {
          const before = scores.get(ids.slice(0, -1).join())
          if (before !== undefined) expect(score).toBeLessThanOrEqual(before)
          scores.set(ids.join(), score ?? 0)
        }
      }
      expect(scores.size).toBeGreaterThan(8)
    }
  })

  it('finds with more beams nothing worse, over many trees', async () => {
    const sums: number[] = []
    for (const numBeams of [2, 4, 16, 81]) {
      let sum = 0
      for (let seed = 0; seed < 40; seed++) {
        const decoder = new FakeDecoder(SIZE, scattered(SIZE, seed))
        sum += (await search(decoder, PROMPT, { ...options, eosTokenId: null, numBeams })).texts[0]?.score ?? 0
      }
      sums.push(sum)
    }
    expect(sums).toEqual([...sums].sort((a, b) => a - b))
    expect(sums.at(-1)).toBeGreaterThan(sums[0] ?? 0)
  })

  it('stops early only where it may', async () => {
    const steps = async (earlyStopping: boolean | 'never') => {
      const { events, texts } = await search(new FakeDecoder(12, scattered(12, 3)), PROMPT, {
        numBeams: 2,
        maxNewTokens: 40,
        eosTokenId: [9, 10, 11],
        earlyStopping,
      })
      return { steps: events.length, score: texts[0]?.score ?? Number.NaN }
    }
    const [early, heuristic, never] = [await steps(true), await steps(false), await steps('never')]
    expect(early.steps).toBeLessThanOrEqual(heuristic.steps)
    expect(heuristic.steps).toBeLessThanOrEqual(never.steps)
    expect(never.score).toBeGreaterThanOrEqual(early.score)
  })

  it('returns no text of forbidden tokens, though they have finite scores under remove_invalid_values', async () => {
    const { texts } = await search(new FakeDecoder(12, scattered(12)), PROMPT, {
      numBeams: 3,
      numReturnSequences: 3,
      maxNewTokens: 2,
      forcedBosTokenId: 4,
      forcedEosTokenId: 7,
      removeInvalidValues: true,
    })
    expect(texts).toMatchObject([{ ids: [4, 7], score: 0 }])
  })

  it('returns fewer texts than asked for where the rules leave fewer', async () => {
    const { texts } = await search(new FakeDecoder(12, scattered(12)), PROMPT, {
      numBeams: 3,
      numReturnSequences: 3,
      maxNewTokens: 2,
      prefixAllowedTokensFn: (ids) => [ids.length],
    })
    expect(texts.map(({ ids }) => ids)).toEqual([[1, 2]])
  })
})
