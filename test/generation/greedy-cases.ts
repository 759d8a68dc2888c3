import { describe, expect, it } from 'vitest'
import type { Decoder, Prompt } from '../../src/generation/decoder.ts'
import { type GenerationOptions, resolveGeneration } from '../../src/generation/options.ts'
import { greedySearch } from '../../src/generation/search/greedy.ts'

/** A decoder under test with two prompts of which each gives at least six tokens, the fourth unlike those before it. */
export interface GreedySubject {
  decoder: Decoder
  prompts: readonly [Prompt, Prompt]
}

/** What greedy search owes every decoder, whatever model is behind it. */
export function describeGreedySearch(name: string, subject: () => GreedySubject): void {
  const run = (prompt: Prompt, options: GenerationOptions, signal?: AbortSignal) =>
    tokens(subject().decoder, prompt, options, signal)

  describe(`greedy search over ${name}`, () => {
    it('adds as many tokens as it may', async () => {
      const [prompt] = subject().prompts
      for (const maxNewTokens of [1, 2, 6]) {
        const { ids, finishReason } = await run(prompt, { maxNewTokens })
        expect(ids).toHaveLength(maxNewTokens)
        expect(finishReason).toBe('length')
      }
    })

    it('ends with the first of several end tokens and keeps it', async () => {
      const [prompt] = subject().prompts
      const { ids } = await run(prompt, { maxNewTokens: 6 })
      const end = ids[3] ?? 0
      const unused = subject().decoder.vocabularySize - 1
      const short = await run(prompt, { maxNewTokens: 6, eosTokenId: [unused, end] })
      expect(short).toEqual({ ids: ids.slice(0, ids.indexOf(end) + 1), finishReason: 'eos' })
    })

    it('finds the same tokens again', async () => {
      for (const prompt of subject().prompts) {
        expect(await run(prompt, { maxNewTokens: 6 })).toEqual(await run(prompt, { maxNewTokens: 6 }))
      }
    })

    it('does not mix up requests that run at once', async () => {
      const [first, second] = subject().prompts
      const alone = [await run(first, { maxNewTokens: 6 }), await run(second, { maxNewTokens: 6 })]
      const requests = Array.from({ length: 8 }, (_, i) => run(i % 2 === 0 ? first : second, { maxNewTokens: 6 }))
      for (const [i, result] of (await Promise.all(requests)).entries()) expect(result).toEqual(alone[i % 2])
    })

    it('repeats nothing under a penalty that no logit survives', async () => {
      const [prompt] = subject().prompts
      const { ids } = await run(prompt, { maxNewTokens: 6, repetitionPenalty: 1e6 })
      expect(new Set(ids).size).toBe(ids.length)
    })

    it('rejects with aborted, before the first step and between steps', async () => {
      const [prompt] = subject().prompts
      await expect(run(prompt, { maxNewTokens: 6 }, AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
      const controller = new AbortController()
      const config = resolveGeneration({ call: { maxNewTokens: 6 } })
      const search = greedySearch(subject().decoder, prompt, config, controller.signal)
      await search.next()
      controller.abort()
      await expect(search.next()).rejects.toMatchObject({ code: 'aborted' })
      expect(await run(prompt, { maxNewTokens: 2 })).toMatchObject({ finishReason: 'length' })
    })

    it('can be left at any token', async () => {
      const [prompt] = subject().prompts
      const config = resolveGeneration({ call: { maxNewTokens: 6 } })
      for await (const { token } of greedySearch(subject().decoder, prompt, config)) {
        expect(token).toBeGreaterThanOrEqual(0)
        break
      }
      expect((await run(prompt, { maxNewTokens: 6 })).ids).toHaveLength(6)
    })
  })
}

/** Runs greedy search to its end. */
export async function tokens(decoder: Decoder, prompt: Prompt, options: GenerationOptions, signal?: AbortSignal) {
  const ids: number[] = []
  let finishReason: string | undefined
  for await (const step of greedySearch(decoder, prompt, resolveGeneration({ call: options }), signal)) {
    ids.push(step.token)
    finishReason = step.finishReason
  }
  return { ids, finishReason }
}
