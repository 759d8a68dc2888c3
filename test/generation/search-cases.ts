import { describe, expect, it } from 'vitest'
import type { Decoder, Prompt } from '../../src/generation/decoder.ts'
import type { GenerationOptions } from '../../src/generation/options.ts'
import { resolveGeneration } from '../../src/generation/resolve.ts'
import type { Hypothesis, SearchEvent } from '../../src/generation/search/search.ts'
import { SEARCHES } from '../../src/generation/search/searches.ts'

/** A decoder under test with two prompts of which each gives at least six tokens, the fourth unlike those before it. */
export interface SearchSubject {
  decoder: Decoder
  prompts: readonly [Prompt, Prompt]
}

export interface SearchOutcome {
  texts: Hypothesis[]
  events: SearchEvent[]
}

/** Runs the search that the options ask for to its end. */
export async function search(
  decoder: Decoder,
  prompt: Prompt,
  options: GenerationOptions,
  signal?: AbortSignal,
): Promise<SearchOutcome> {
  const config = resolveGeneration({ call: options })
  const run = SEARCHES[config.mode](decoder, { prompt, config }, signal)
  const events: SearchEvent[] = []
  for (let step = await run.next(); ; step = await run.next()) {
    if (step.done === true) return { texts: step.value, events }
    events.push(step.value)
  }
}

/** One way to run each search, seeded where it draws. */
const MODES: Record<string, GenerationOptions> = {
  'greedy search': {},
  sampling: { doSample: true, topK: 5, seed: 7 },
  'beam search': { numBeams: 3 },
  'beam sampling': { numBeams: 3, doSample: true, topK: 5, seed: 7 },
  'contrastive search': { penaltyAlpha: 0.4, topK: 4 },
}

/** What every search owes every decoder, whatever model is behind it. */
export function describeSearches(name: string, subject: () => SearchSubject): void {
  describe.each(Object.entries(MODES))(`%s over ${name}`, (_, mode) => {
    const run = (prompt: Prompt, options: GenerationOptions, signal?: AbortSignal) =>
      search(subject().decoder, prompt, { ...mode, ...options } as GenerationOptions, signal)
    const ids = async (prompt: Prompt, options: GenerationOptions) => (await run(prompt, options)).texts[0]?.ids ?? []

    it('adds as many tokens as it may', async () => {
      const [prompt] = subject().prompts
      for (const maxNewTokens of [1, 2, 6]) {
        const [text] = (await run(prompt, { maxNewTokens })).texts
        expect(text?.ids).toHaveLength(maxNewTokens)
        expect(text?.finishReason).toBe('length')
      }
    })

    it('ends with one of several end tokens and keeps it', async () => {
      const [prompt] = subject().prompts
      const unused = subject().decoder.vocabularySize - 1
      const end = (await ids(prompt, { maxNewTokens: 6 }))[3] ?? 0
      const { texts } = await run(prompt, { maxNewTokens: 6, eosTokenId: [unused, end] })
      for (const { ids, finishReason } of texts) {
        const isEnd = ids.map((id) => id === end || id === unused)
        expect(finishReason).toBe(isEnd.at(-1) === true ? 'eos' : 'length')
        expect(isEnd.slice(0, -1)).not.toContain(true)
      }
    })

    it('finds the same texts again', async () => {
      for (const prompt of subject().prompts) {
        expect((await run(prompt, { maxNewTokens: 6 })).texts).toEqual((await run(prompt, { maxNewTokens: 6 })).texts)
      }
    })

    it('does not mix up requests that run at once', async () => {
      const [first, second] = subject().prompts
      const alone = [await ids(first, { maxNewTokens: 6 }), await ids(second, { maxNewTokens: 6 })]
      const requests = Array.from({ length: 8 }, (_, i) => ids(i % 2 === 0 ? first : second, { maxNewTokens: 6 }))
      for (const [i, result] of (await Promise.all(requests)).entries()) expect(result).toEqual(alone[i % 2])
    })

    it('tells every step, and in the end what it told', async () => {
      const [prompt] = subject().prompts
      const { texts, events } = await run(prompt, { maxNewTokens: 6 })
      expect(events).toHaveLength(6)
      const last = events.at(-1)
      if (last?.kind === 'beams') expect(last.finished.slice(0, texts.length)).toEqual(texts)
      else expect(events.map((event) => event.kind === 'token' && event.token)).toEqual(texts[0]?.ids)
    })

    it('repeats no n-gram that it must not repeat', async () => {
      const [prompt] = subject().prompts
      for (const size of [1, 2]) {
        const { texts } = await run(prompt, { maxNewTokens: 6, noRepeatNgramSize: size })
        for (const { ids } of texts) {
          const ngrams = ids.slice(size - 1).map((_, i) => ids.slice(i, i + size).join())
          expect(new Set(ngrams).size).toBe(ngrams.length)
        }
      }
    })

    it('fails when every token is forbidden', async () => {
      const [prompt] = subject().prompts
      const suppressTokens = Array.from({ length: subject().decoder.vocabularySize }, (_, id) => id)
      for (const options of [{ suppressTokens }, { suppressTokens, renormalizeLogits: true }]) {
        await expect(run(prompt, options)).rejects.toMatchObject({ code: 'compute-failed' })
      }
    })

    it('lets a callback see and change every row', async () => {
      const [prompt] = subject().prompts
      const wanted = subject().decoder.vocabularySize - 2
      let rows = 0
      const logitsProcessor = (ids: readonly number[], scores: Float32Array) => {
        rows += 1
        expect(scores).toHaveLength(subject().decoder.vocabularySize)
        // Every second token by order.
        if (ids.length % 2 === 0) scores.fill(Number.NEGATIVE_INFINITY).fill(0, wanted, wanted + 1)
      }
      const text = await ids(prompt, { maxNewTokens: 4, logitsProcessor })
      expect(text.filter((id) => id === wanted).length).toBeGreaterThanOrEqual(2)
      expect(rows).toBeGreaterThanOrEqual(4)
      const failing = run(prompt, {
        logitsProcessor: () => {
          throw new Error('a callback of the caller')
        },
      })
      await expect(failing).rejects.toThrow('a callback of the caller')
    })

    it('rejects with aborted, before the first step and between steps', async () => {
      const [prompt] = subject().prompts
      await expect(run(prompt, { maxNewTokens: 6 }, AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
      const controller = new AbortController()
      const config = resolveGeneration({ call: { ...mode, maxNewTokens: 6 } })
      const steps = SEARCHES[config.mode](subject().decoder, { prompt, config }, controller.signal)
      await steps.next()
      controller.abort()
      await expect(steps.next()).rejects.toMatchObject({ code: 'aborted' })
      expect(await ids(prompt, { maxNewTokens: 2 })).toHaveLength(2)
    })

    it('can be left at any step', async () => {
      const [prompt] = subject().prompts
      const config = resolveGeneration({ call: { ...mode, maxNewTokens: 6 } })
      for await (const event of SEARCHES[config.mode](subject().decoder, { prompt, config })) {
        expect(event.kind).toMatch(/token|beams/)
        break
      }
      expect(await ids(prompt, { maxNewTokens: 6 })).toHaveLength(6)
    })
  })

  describe(`searches over ${name}`, () => {
    const texts = async (options: GenerationOptions) =>
      (await search(subject().decoder, subject().prompts[0], { maxNewTokens: 6, ...options } as GenerationOptions))
        .texts
    const ids = async (options: GenerationOptions) => (await texts(options)).map((text) => text.ids)

    it('find what greedy search finds where nothing is left to choose', async () => {
      const greedy = await ids({})
      expect(await ids({ doSample: true, topK: 1, seed: 3 })).toEqual(greedy)
      expect(await ids({ penaltyAlpha: 1e-9, topK: 3 })).toEqual(greedy)
      expect(await ids({ doSample: true, topK: 1, seed: 3, numReturnSequences: 3 })).toEqual(
        [0, 1, 2].flatMap(() => greedy),
      )
    })

    it('draw by their seed', async () => {
      const draw = (seed: number) => ids({ doSample: true, temperature: 3, topK: 0, seed, numReturnSequences: 3 })
      expect(await draw(1)).toEqual(await draw(1))
      expect(await draw(1)).toEqual(await draw(2 ** 32 + 1))
      expect(await draw(1)).not.toEqual(await draw(2))
      expect(new Set((await draw(1)).map(String)).size).toBeGreaterThan(1)
    })

    it('return the best beams, the best first, each once', async () => {
      const found = await texts({ numBeams: 4, numReturnSequences: 4, earlyStopping: true })
      const scores = found.map(({ score }) => score ?? Number.NaN)
      expect(scores).toEqual([...scores].sort((a, b) => b - a))
      expect(new Set(found.map(({ ids }) => String(ids))).size).toBe(4)
      expect(await texts({ numBeams: 4, numReturnSequences: 2, earlyStopping: true })).toEqual(found.slice(0, 2))
    })
  })
}
