import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GenerationInput } from '../../src/runtime/input.ts'
import type { GenerateOptions, LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import { divergence, forced } from '../generation/divergence.ts'

interface HeldOutPair {
  prompt: string
  answer: string
}

/** Every eleventh pair of the held-out list, so that all kinds are among them. */
const STRIDE = 11
/** Nats; measured were 3.7e-5 and 1.8e-5. */
const KL_BOUND = 2e-4

const asPrompt = ({ prompt }: HeldOutPair): GenerationInput => prompt
const asMessages = ({ prompt }: HeldOutPair): GenerationInput => [{ role: 'user', content: prompt }]

describe.each([
  { name: 'nano-chatlm', input: asPrompt, appendEos: true, accuracy: 0.93 },
  { name: 'nano-qwen', input: asMessages, appendEos: false, accuracy: 0.88 },
])('$name in q8_0', ({ name, input, appendEos, accuracy }) => {
  let cacheDirectory = ''
  let pairs: HeldOutPair[] = []
  let quantized: LanguageModel
  beforeAll(async () => {
    const lines = await readFile(fileURLToPath(new URL('../../scripts/train/heldout.jsonl', import.meta.url)), 'utf8')
    pairs = lines
      .trim()
      .split('\n')
      .filter((_, i) => i % STRIDE === 0)
      .map((line) => JSON.parse(line) as HeldOutPair)
    cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-quantized-'))
    quantized = await load(name, { device: 'cpu', threads: 1, cacheDirectory })
  })
  afterAll(async () => {
    await quantized?.dispose()
    await rm(cacheDirectory, { recursive: true, force: true })
  })

  test('keeps its distributions near those of f32 along the right answers', async () => {
    await using exact = await load(name, { quantization: 'f32', device: 'cpu', threads: 1, cacheDirectory })
    const divergences: number[] = []
    for (const pair of pairs) {
      const { inputIds } = await quantized.encode(input(pair), { appendEos })
      const ids = (await quantized.tokenizer.encode(pair.answer, { addSpecialTokens: false, appendEos: true })).inputIds
      const [p, q] = [await forced(exact.decoder, inputIds, ids), await forced(quantized.decoder, inputIds, ids)]
      for (const [i, step] of p.entries()) divergences.push(divergence(step.logits, q[i]?.logits))
    }
    const mean = divergences.reduce((sum, value) => sum + value, 0) / divergences.length
    console.log(`${name} q8_0: mean KL against f32 ${mean.toExponential(2)} over ${divergences.length} steps`)
    expect(mean).toBeLessThan(KL_BOUND)
  })

  test.each<GenerateOptions>([
    { doSample: false, numBeams: 4 },
    { doSample: false, penaltyAlpha: 0.1, topK: 4 },
    { doSample: true, topP: 0.5, seed: 5 },
  ])('answers as well as greedily under %j', async (options) => {
    const texts: string[] = []
    for (const pair of pairs) {
      texts.push((await quantized.generate(input(pair), { maxNewTokens: 64, appendEos, ...options })).text)
    }
    const right = pairs.filter(({ answer }, i) => texts[i] === answer).length
    console.log(`${name} q8_0: ${right} of ${pairs.length} exactly right under ${JSON.stringify(options)}`)
    expect(right / pairs.length).toBeGreaterThanOrEqual(accuracy)
  })
})
