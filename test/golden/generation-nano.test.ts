import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { camelCase } from '../../src/generation/options.ts'
import type { GenerateOptions, LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import { EMBEDDED_MODELS } from '../../src/runtime/locate.ts'
import { readJson } from './reference.ts'

/** Made by scripts/golden/generation_reference.py. */
interface Reference {
  transformers: string
  cases: {
    prompt: string
    inputIds: number[]
    options: Record<string, unknown>
    sequences: number[][]
    scores: (number | null)[]
  }[]
}

const NEW_TOKENS = 14
/** Of a sum of log-probabilities; that of the script. */
const NOISE = 3e-5

/** The functions of a caller that the script writes down in Python. */
function ruleOf(name: unknown, { decoder, file }: LanguageModel): GenerateOptions {
  if (name === 'pushSevens') {
    return {
      logitsProcessor: (ids, scores) => {
        for (let id = 0; id < scores.length; id += 7) scores[id] = (scores[id] ?? 0) - (1 + 0.25 * (ids.length % 3))
      },
    }
  }
  if (name === 'oneId') return { prefixAllowedTokensFn: () => [800] }
  if (name !== 'oddIds') return {}
  const ends = [file.generationConfig['eos_token_id']].flat() as number[]
  const odd = Array.from({ length: decoder.vocabularySize >> 1 }, (_, i) => 2 * i + 1)
  return { prefixAllowedTokensFn: () => [...odd, ...ends] }
}

for (const name of EMBEDDED_MODELS) {
  const read = (kind: string) => readJson<Reference>(fileURLToPath(new URL(`${kind}-${name}.json`, import.meta.url)))

  describe(`${name} in f32, with rules and searches of every kind`, () => {
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

    for (const { transformers, cases } of [read('generation'), read('contrastive')]) {
      it.each(cases)(`equals transformers ${transformers} under $options`, async (one) => {
        const { rule, preset, ...options } = one.options
        const named = Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value]))
        const search = preset === undefined ? {} : { search: preset }
        const { sequences, seed } = await model.generate({ inputIds: one.inputIds }, {
          maxNewTokens: NEW_TOKENS,
          ...search,
          ...ruleOf(rule, model),
          ...named,
        } as GenerateOptions)
        expect(sequences.map(({ ids }) => ids)).toEqual(one.sequences)
        expect(seed).toBe(one.options['seed'] ?? null)
        const { lengthPenalty } = model.resolve({ ...search, ...named } as GenerateOptions)
        one.scores.forEach((score, i) => {
          const { score: ours = Number.NaN, ids = [] } = sequences[i] ?? {}
          // Trained models are so sure that sums of log-probabilities are near 0: kernels differ by NOISE there.
          const rounding = NOISE / ids.length ** lengthPenalty
          if (score === null) expect(ours).toBeNull()
          else expect(Math.abs((ours ?? Number.NaN) - score)).toBeLessThanOrEqual(2e-4 * Math.abs(score) + rounding)
        })
      })
    }
  })
}
