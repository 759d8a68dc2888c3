import { describe, expect, it } from 'vitest'
import { FakeDecoder, favouring, scattered, script } from '../../../test/generation/fake-decoder.ts'
import { describeSearches, search } from '../../../test/generation/search-cases.ts'
import type { Prompt } from '../decoder.ts'
import type { GenerationOptions } from '../options.ts'

const SIZE = 24

function prompt(...inputIds: number[]): Prompt {
  return { inputIds, attentionMask: inputIds.map(() => 1) }
}

async function tokens(decoder: FakeDecoder, source: Prompt, options: GenerationOptions) {
  const [text] = (await search(decoder, source, options)).texts
  return text?.ids ?? []
}

for (const [kind, start] of [
  ['a decoder-only model', undefined],
  ['an encoder-decoder', 0],
] as const) {
  const decoder = new FakeDecoder(SIZE, scattered(SIZE), start)
  describeSearches(kind, () => ({ decoder, prompts: [prompt(3, 4), prompt(9)] }))
  it(`${kind} is left with no living state`, () => expect(decoder.alive).toBe(0))
}

describe('every search', () => {
  it('feeds the prompt once and then one token a step', async () => {
    for (const options of [{}, { doSample: true, seed: 1 }]) {
      const fed: number[] = []
      const decoder = new FakeDecoder(SIZE, (past) => {
        fed.push(past.length)
        return favouring(7, SIZE)
      })
      await tokens(decoder, prompt(1, 2, 3), { maxNewTokens: 3, ...options })
      expect(fed).toEqual([3, 4, 5])
    }
  })

  it('reads a prompt once for several texts', async () => {
    let read = 0
    const decoder = new FakeDecoder(SIZE, (past) => {
      if (past.length < 5) read += 1
      return favouring(7, SIZE)
    })
    const options = { maxNewTokens: 2, doSample: true, numReturnSequences: 4, seed: 1 }
    expect((await search(decoder, prompt(1, 2, 3, 4, 5), options)).texts).toHaveLength(4)
    expect(read).toBe(1)
  })

  it('counts the start token of an encoder-decoder in max_length, and the whole prompt of a decoder-only model', async () => {
    const words = [5, 6, 7, 8, 9]
    const seq2seq = new FakeDecoder(SIZE, script(words, SIZE), 0)
    expect(await tokens(seq2seq, prompt(1, 2, 3), { maxLength: 4 })).toEqual([5, 6, 7])
    const causal = new FakeDecoder(SIZE, script(words, SIZE))
    expect(await tokens(causal, prompt(1, 2), { maxLength: 4 })).toEqual([5, 6])
    await expect(tokens(causal, prompt(1, 2, 3, 4), { maxLength: 4 })).rejects.toMatchObject({
      code: 'invalid-argument',
    })
    expect(causal.alive).toBe(0)
  })

  it('counts left padding in max_length, as the reference does', async () => {
    const causal = new FakeDecoder(SIZE, script([5, 6, 7, 8], SIZE))
    const padded = { inputIds: [2, 2, 1], attentionMask: [0, 0, 1] }
    expect(await tokens(causal, padded, { maxLength: 5 })).toEqual([5, 6])
    expect(await tokens(causal, padded, { maxNewTokens: 3 })).toEqual([5, 6, 7])
  })

  it('penalises the start token and the prompt, but not the padding before it', async () => {
    const likes = (id: number) => () => favouring(id, SIZE)
    const penalty = { maxNewTokens: 1, repetitionPenalty: 100 }
    expect(await tokens(new FakeDecoder(SIZE, likes(2), 2), prompt(9), penalty)).not.toContain(2)
    expect(await tokens(new FakeDecoder(SIZE, likes(9)), prompt(9), penalty)).not.toContain(9)
    expect(await tokens(new FakeDecoder(SIZE, likes(9), 2), prompt(9), penalty)).toEqual([9])
    const padded = { inputIds: [2, 9], attentionMask: [0, 1] }
    expect(await tokens(new FakeDecoder(SIZE, likes(2)), padded, penalty)).toEqual([2])
  })

  it('takes the lower id of two that are equal', async () => {
    const decoder = new FakeDecoder(4, () => [0, 3, 3, 1])
    expect(await tokens(decoder, prompt(0), { maxNewTokens: 1 })).toEqual([1])
  })

  it.each([{}, { numBeams: 2 }, { doSample: true }, { numBeams: 2, doSample: true }, { penaltyAlpha: 0.5, topK: 2 }])(
    'fails with %j when every token is forbidden, and frees the state',
    async (options) => {
      const decoder = new FakeDecoder(4, () => new Array<number>(4).fill(Number.NEGATIVE_INFINITY))
      await expect(tokens(decoder, prompt(0), { maxNewTokens: 1, ...options })).rejects.toMatchObject({
        code: 'compute-failed',
      })
      const broken = new FakeDecoder(4, () => {
        throw new Error('no memory')
      })
      await expect(tokens(broken, prompt(0), options)).rejects.toThrow('no memory')
      expect([decoder.alive, broken.alive]).toEqual([0, 0])
    },
  )

  it.each([{ numBeams: 1001 }, { doSample: true, numReturnSequences: 1e9 }, { numBeams: 2e9, doSample: true }])(
    'refuses %j before it makes so many rows',
    async (options) => {
      const decoder = new FakeDecoder(SIZE, scattered(SIZE))
      await expect(tokens(decoder, prompt(1), options)).rejects.toMatchObject({ code: 'too-many-sequences' })
      expect([decoder.alive, decoder.steps]).toEqual([0, 0])
    },
  )

  it('lets min_new_tokens go before min_length, also when it is 0', async () => {
    const ending = new FakeDecoder(SIZE, script([5, 7, 7, 7], SIZE))
    const length = { maxNewTokens: 4, eosTokenId: 7, minLength: 4 }
    expect(await tokens(ending, prompt(1), length)).toHaveLength(4)
    expect(await tokens(ending, prompt(1), { ...length, minNewTokens: 0 })).toEqual([5, 7])
  })

  it('gives its callbacks ids of their own', async () => {
    const seen: (readonly number[])[] = []
    const options = {
      maxNewTokens: 3,
      logitsProcessor: (ids: readonly number[]) => void seen.push(ids),
      prefixAllowedTokensFn: (ids: readonly number[]) => {
        seen.push(ids)
        return [5, 6]
      },
    }
    const source = prompt(1)
    await tokens(new FakeDecoder(SIZE, scattered(SIZE)), source, options)
    expect(seen.map(({ length }) => length)).toEqual([1, 1, 2, 2, 3, 3])
    expect(source).toEqual(prompt(1))
  })

  it('ends where a stop string or the time says so', async () => {
    const decoder = new FakeDecoder(SIZE, script([5, 6, 7, 8], SIZE))
    const { texts } = await search(decoder, prompt(1), { maxNewTokens: 4, maxTime: 1e-9 })
    expect(texts).toMatchObject([{ ids: [5], finishReason: 'stop' }])
  })
})
