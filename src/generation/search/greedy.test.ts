import { describe, expect, it } from 'vitest'
import { FakeDecoder, favouring, script } from '../../../test/generation/fake-decoder.ts'
import { describeGreedySearch, tokens } from '../../../test/generation/greedy-cases.ts'
import type { Prompt } from '../decoder.ts'
import { resolveGeneration } from '../options.ts'
import { greedySearch } from './greedy.ts'

const SIZE = 24

function prompt(...inputIds: number[]): Prompt {
  return { inputIds, attentionMask: inputIds.map(() => 1) }
}

/** Each token and each prompt lead to a token of their own, so that a mixed-up state shows. */
function wandering(past: readonly number[], { inputIds }: Prompt): number[] {
  return favouring((past.length * 5 + (inputIds[0] ?? 0)) % (SIZE - 1), SIZE)
}

for (const [kind, start] of [
  ['a decoder-only model', undefined],
  ['an encoder-decoder', 0],
] as const) {
  const decoder = new FakeDecoder(SIZE, wandering, start)
  describeGreedySearch(kind, () => ({ decoder, prompts: [prompt(3, 4), prompt(9)] }))
  it(`${kind} is left with no living state`, () => expect(decoder.alive).toBe(0))
}

describe('greedy search', () => {
  it('feeds the prompt once and then one token a step', async () => {
    const fed: number[] = []
    const decoder = new FakeDecoder(SIZE, (past) => {
      fed.push(past.length)
      return favouring(7, SIZE)
    })
    await tokens(decoder, prompt(1, 2, 3), { maxNewTokens: 3 })
    expect(fed).toEqual([3, 4, 5])
  })

  it('counts the start token of an encoder-decoder in max_length, and the whole prompt of a decoder-only model', async () => {
    const words = [5, 6, 7, 8, 9]
    const seq2seq = new FakeDecoder(SIZE, script(words, SIZE), 0)
    expect((await tokens(seq2seq, prompt(1, 2, 3), { maxLength: 4 })).ids).toEqual([5, 6, 7])
    const causal = new FakeDecoder(SIZE, script(words, SIZE))
    expect((await tokens(causal, prompt(1, 2), { maxLength: 4 })).ids).toEqual([5, 6])
    await expect(tokens(causal, prompt(1, 2, 3, 4), { maxLength: 4 })).rejects.toMatchObject({
      code: 'invalid-argument',
    })
    expect(causal.alive).toBe(0)
  })

  it('counts left padding in max_length and nowhere else', async () => {
    const causal = new FakeDecoder(SIZE, script([5, 6, 7, 8], SIZE))
    const padded = { inputIds: [2, 2, 1], attentionMask: [0, 0, 1] }
    expect((await tokens(causal, padded, { maxLength: 5 })).ids).toEqual([5, 6])
    expect((await tokens(causal, padded, { maxNewTokens: 3 })).ids).toEqual([5, 6, 7])
  })

  it('penalises the start token and the prompt, but not the padding before it', async () => {
    const likes = (id: number) => () => favouring(id, SIZE)
    const penalty = { maxNewTokens: 1, repetitionPenalty: 100 }
    expect((await tokens(new FakeDecoder(SIZE, likes(2), 2), prompt(9), penalty)).ids).not.toContain(2)
    expect((await tokens(new FakeDecoder(SIZE, likes(9)), prompt(9), penalty)).ids).not.toContain(9)
    expect((await tokens(new FakeDecoder(SIZE, likes(9), 2), prompt(9), penalty)).ids).toEqual([9])
    const padded = { inputIds: [2, 9], attentionMask: [0, 1] }
    expect((await tokens(new FakeDecoder(SIZE, likes(2)), padded, penalty)).ids).toEqual([2])
  })

  it('takes the lower id of two that are equal', async () => {
    const decoder = new FakeDecoder(4, () => [0, 3, 3, 1])
    expect((await tokens(decoder, prompt(0), { maxNewTokens: 1 })).ids).toEqual([1])
  })

  it('fails when no score is finite', async () => {
    for (const score of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      const decoder = new FakeDecoder(4, () => [score, score, score, score])
      await expect(tokens(decoder, prompt(0), { maxNewTokens: 1 })).rejects.toMatchObject({ code: 'compute-failed' })
      expect(decoder.alive).toBe(0)
    }
  })

  it('passes on what the decoder throws and frees the state', async () => {
    const decoder = new FakeDecoder(4, () => {
      throw new Error('no memory')
    })
    const search = greedySearch(decoder, prompt(0), resolveGeneration({}))
    await expect(search.next()).rejects.toThrow('no memory')
    expect(decoder.alive).toBe(0)
  })
})
