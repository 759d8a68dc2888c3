import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerationInput } from '../../src/runtime/input.ts'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import { EMBEDDED_MODELS } from '../../src/runtime/locate.ts'
import { readJson } from './reference.ts'
import { describeTokenizerCases, type TokenizerCases } from './tokenizer-cases.ts'

/** Made by scripts/golden/text_reference.py. */
interface GreedyCases {
  transformers: string
  maxNewTokens: number
  cases: {
    prompt?: string
    messages?: { role: string; content: string }[]
    options: { appendEos?: boolean }
    inputIds: number[]
    ids: number[]
    text: string
    /** Smallest lead of a chosen token over the next. */
    margin: number
  }[]
}

/** Differences between kernels stay below a tenth of this. */
const STABLE_MARGIN = 1e-3

for (const name of EMBEDDED_MODELS) {
  const golden = (kind: string) => fileURLToPath(new URL(`${kind}-${name}.json`, import.meta.url))
  const folder = fileURLToPath(new URL(`../../models/${name}`, import.meta.url))
  describeTokenizerCases(readJson<TokenizerCases>(golden('tokenizer')), folder)

  const { transformers, maxNewTokens, cases } = readJson<GreedyCases>(golden('greedy'))
  const stable = cases.filter(({ margin }) => margin >= STABLE_MARGIN)

  describe(`${name} in f32 equals transformers ${transformers}`, () => {
    let cacheDirectory = ''
    let model: LanguageModel
    beforeAll(async () => {
      cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-nano-'))
      model = await load(name, { quantization: 'f32', cacheDirectory, device: 'cpu', threads: 1 })
    })
    afterAll(async () => {
      await model?.dispose()
      await rm(cacheDirectory, { recursive: true, force: true })
    })

    it(`in ${stable.length} of ${cases.length} greedy texts, all whose margin is clear`, async () => {
      expect(stable.length).toBeGreaterThanOrEqual(30)
      for (const { prompt, messages, options, inputIds, ids, text } of stable) {
        const input = (prompt ?? messages) as GenerationInput
        const result = await model.generate(input, { ...options, maxNewTokens, doSample: false })
        expect({ input, inputIds: result.inputIds, ids: result.ids, text: result.text }).toEqual({
          input,
          inputIds,
          ids,
          text,
        })
      }
    })
  })
}
