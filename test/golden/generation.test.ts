import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SEARCHES } from '../../src/generation/search/searches.ts'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import { stopStringMatcher } from '../../src/tokenizer/stop-strings.ts'
import {
  BatchRowDecoder,
  type GenerationCase,
  type GenerationCases,
  type LegacyCases,
  type MaskedInput,
  paddedInputs,
  withoutFill,
} from './generation-cases.ts'
import { caseFiles, goldenFolder, readJson, skipReason } from './reference.ts'

describe.skipIf(goldenFolder === undefined)(`the reference's generations in f32${skipReason}`, () => {
  let cacheDirectory = ''
  beforeAll(async () => {
    cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-golden-'))
  })
  afterAll(() => rm(cacheDirectory, { recursive: true, force: true }))

  it('are there', () => {
    expect(caseFiles('gen-').length).toBeGreaterThan(0)
    expect(caseFiles('legacy-')).toHaveLength(caseFiles('gen-').length)
  })

  for (const [index, file] of caseFiles('gen-').entries()) {
    const golden = readJson<GenerationCases>(file)
    const legacy = readJson<LegacyCases>(caseFiles('legacy-')[index] ?? '')
    const stable = golden.cases.filter(({ out, error }) => out?.stable === true || error !== undefined)

    describe(`${golden.model} equals transformers ${golden.transformers}`, () => {
      let model: LanguageModel
      beforeAll(async () => {
        const device = process.env['TANDEM_GOLDEN_DEVICE'] ?? 'cpu'
        const folder = join(goldenFolder ?? '', 'models', golden.model)
        // One thread: these models are so small that threads would only wait for each other.
        model = await load(folder, { quantization: 'f32', cacheDirectory, device, threads: 1 })
      })
      afterAll(() => model?.dispose())

      for (const tag of new Set(stable.map(({ tag }) => tag))) {
        const cases = stable.filter((one) => one.tag === tag)
        it(`in ${cases.length} cases of ${tag}`, async () => {
          for (const one of cases) await expectSameTexts(model, one, paddedInputs(golden, one))
        })
      }

      it('in the ten best tokens of first steps', async () => {
        for (const one of stable) await expectSameTop(model, one, paddedInputs(golden, one))
      })

      it('through the tokenizer, for prompts given as text', async () => {
        for (const { text, ids } of golden.prompts) {
          expect((await model.tokenizer.encode(text)).inputIds).toEqual(ids)
        }
      })

      const contrastive = legacy.contrastive.filter(({ out }) => out?.stable === true)
      it(`and transformers ${legacy.transformers} in ${contrastive.length} cases of contrastive search`, async () => {
        expect(contrastive.length).toBeGreaterThan(0)
        for (const one of contrastive) await expectSameTexts(model, one, paddedInputs(golden, one))
      })
    })
  }
})

async function expectSameTexts(model: LanguageModel, one: GenerationCase, inputs: MaskedInput[]): Promise<void> {
  const { id, kw, seed, error, out } = one
  const options = { ...kw, ...(seed === undefined ? {} : { seed }) }
  for (const [index, input] of inputs.entries()) {
    if (error !== undefined) {
      await expect(model.generate(input, options), id).rejects.toMatchObject({ code: 'invalid-argument' })
      continue
    }
    const config = model.resolve(options)
    const count = config.numReturnSequences
    const texts = await search(model, { options, input, index, size: inputs.length })
    const rows = (out?.gen ?? []).slice(index * count, (index + 1) * count)
    const expected = rows.map((row, i) => withoutFill(row, texts[i]?.finishReason, config))
    expect({ id, index, ids: texts.map((text) => text.ids) }).toEqual({ id, index, ids: expected })
    const scores = out?.scores?.slice(index * count, (index + 1) * count) ?? []
    scores.forEach((score, i) => {
      expect(Math.abs((texts[i]?.score ?? Number.NaN) - score), id).toBeLessThanOrEqual(2e-4 * Math.abs(score))
    })
  }
}

interface Row {
  options: GenerationCase['kw']
  input: MaskedInput
  index: number
  size: number
}

/** A seeded batch shares one generator in the reference; every other row of a batch is a generation of its own. */
async function search(model: LanguageModel, { options, input, index, size }: Row) {
  const config = model.resolve(options)
  if (config.seed === undefined || size === 1) return (await model.generate(input, options)).sequences
  const completesStopString =
    config.stopStrings.length === 0 ? undefined : await stopStringMatcher(model.tokenizer, config.stopStrings)
  const prompt = { inputIds: input.inputIds, attentionMask: input.attentionMask }
  const decoder = new BatchRowDecoder(model.decoder, index, size)
  const run = SEARCHES[config.mode](decoder, { prompt, config, completesStopString })
  for (let step = await run.next(); ; step = await run.next()) if (step.done === true) return step.value
}

async function expectSameTop({ decoder }: LanguageModel, { id, out }: GenerationCase, inputs: MaskedInput[]) {
  for (const [row, prompt] of inputs.entries()) {
    const top = out?.top10?.[row]
    if (top === undefined) continue
    const [ids, scores] = top
    const state = await decoder.start(prompt)
    const [best] = await decoder.step(state, [state.promptIds], { candidates: ids.length })
    await decoder.dispose(state)
    ids.forEach((token, rank) => {
      expect(best?.scores[rank], `${id} rank ${rank}`).toBeCloseTo(scores[rank] ?? 0, 3)
      const gaps = [rank - 1, rank + 1].map((other) =>
        Math.abs((scores[rank] ?? 0) - (scores[other] ?? Number.POSITIVE_INFINITY)),
      )
      if (Math.min(...gaps) > 1e-4) expect(best?.ids[rank], `${id} rank ${rank}`).toBe(token)
    })
  }
}
