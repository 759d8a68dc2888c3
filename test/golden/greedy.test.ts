import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerationOptions } from '../../src/generation/options.ts'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import { caseFiles, goldenFolder, readJson, skipReason } from './reference.ts'

interface GenerationCases {
  model: string
  transformers: string
  pad_token_id: number
  prompts: { text: string; ids: number[] }[]
  cases: GenerationCase[]
}

interface GenerationCase {
  id: string
  tag: string
  kw: GenerationOptions
  /** Indices of `prompts`, or the rows of a batch themselves, which is filled on the right and masked there. */
  prompts?: number[]
  inputs?: number[][]
  error?: string
  out?: { gen: number[][]; top10?: [number[], number[]][]; text: string[]; stable: boolean; steps: number }
}

describe.skipIf(goldenFolder === undefined)(`the reference's greedy cases in f32${skipReason}`, () => {
  let cacheDirectory = ''
  beforeAll(async () => {
    cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-golden-'))
  })
  afterAll(() => rm(cacheDirectory, { recursive: true, force: true }))

  it('are there', () => expect(caseFiles('gen-').length).toBeGreaterThan(0))

  for (const file of caseFiles('gen-')) {
    const golden = readJson<GenerationCases>(file)
    const greedy = golden.cases.filter(({ tag }) => tag === 'greedy')

    describe(`${golden.model} equals transformers ${golden.transformers}`, () => {
      let model: LanguageModel
      beforeAll(async () => {
        const device = process.env['TANDEM_GOLDEN_DEVICE'] ?? 'cpu'
        const folder = join(goldenFolder ?? '', 'models', golden.model)
        // One thread: these models are so small that threads would only wait for each other.
        model = await load(folder, { quantization: 'f32', cacheDirectory, device, threads: 1 })
      })
      afterAll(() => model?.dispose())

      it(`in the ids and texts of ${greedy.length} cases`, async () => {
        for (const golden of greedy) await expectSameText(model, golden, inputsOf(golden))
      })

      it('in the ten best tokens of their first steps', async () => {
        for (const golden of greedy) await expectSameTop(model, golden, inputsOf(golden))
      })

      it('in all other cases whose options greedy search has: lengths, penalties, batches', async () => {
        const others = golden.cases.filter((one) => !greedy.includes(one) && isGreedy(model, one))
        expect(others.length).toBeGreaterThan(0)
        for (const golden of others) await expectSameText(model, golden, inputsOf(golden))
      })

      it('through the tokenizer, for prompts given as text', async () => {
        for (const { text, ids } of golden.prompts) {
          expect((await model.tokenizer.encode(text)).inputIds).toEqual(ids)
        }
      })
    })

    function inputsOf({ prompts, inputs }: GenerationCase): { inputIds: number[]; attentionMask: number[] }[] {
      const width = Math.max(0, ...(inputs ?? []).map((row) => row.length))
      const filled = inputs?.map((row) => ({
        inputIds: [...row, ...new Array<number>(width - row.length).fill(golden.pad_token_id)],
        attentionMask: Array.from({ length: width }, (_, i) => (i < row.length ? 1 : 0)),
      }))
      const texts = prompts?.map((index) => golden.prompts[index]?.ids ?? []) ?? []
      return filled ?? texts.map((inputIds) => ({ inputIds, attentionMask: inputIds.map(() => 1) }))
    }
  }
})

function isGreedy(model: LanguageModel, { kw, out }: GenerationCase): boolean {
  try {
    model.resolve(kw)
    return out?.stable === true
  } catch {
    return false
  }
}

type Inputs = { inputIds: number[]; attentionMask: number[] }[]

async function expectSameText(model: LanguageModel, { id, kw, error, out }: GenerationCase, inputs: Inputs) {
  const options = { doSample: false, ...kw }
  const { eosTokenIds } = model.resolve(options)
  for (const [row, input] of inputs.entries()) {
    const generation = model.generate(input, options)
    if (error !== undefined) {
      await expect(generation, id).rejects.toMatchObject({ code: 'invalid-argument' })
      continue
    }
    const gen = out?.gen[row] ?? []
    const end = gen.findIndex((token) => eosTokenIds.includes(token))
    const ids = end < 0 ? gen : gen.slice(0, end + 1)
    const result = await generation
    expect({ id, ids: result.ids, text: result.text }).toEqual({ id, ids, text: out?.text[row] })
    expect(result.finishReason).toBe(end < 0 ? 'length' : 'eos')
    expect(result.timings.steps).toBe(ids.length)
  }
}

async function expectSameTop({ decoder }: LanguageModel, { id, out }: GenerationCase, inputs: Inputs) {
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
