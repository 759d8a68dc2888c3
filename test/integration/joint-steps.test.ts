import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TandemError } from '../../src/errors.ts'
import type { GenerationOptions } from '../../src/generation/options.ts'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'

// Requests that run side by side share the steps of an encoder-decoder. Nobody may notice anything but the speed.
const PROMPTS = [
  '你好',
  '请把下面的话翻译为英语:你好吗?',
  '中国的首都是哪里?',
  '写一首诗',
  '1+1',
  '春天',
  'hello',
  '为什么天是蓝的?',
]
const OPTIONS: GenerationOptions[] = [
  { doSample: false, maxNewTokens: 24 },
  { doSample: false, numBeams: 4, maxNewTokens: 20, numReturnSequences: 2 },
  { doSample: true, seed: 7, temperature: 1.5, maxNewTokens: 30 },
  { doSample: true, numBeams: 3, seed: 3, maxNewTokens: 12 },
]
const REQUESTS = PROMPTS.flatMap((prompt, i) => [0, 1].map((j) => ({ prompt, options: OPTIONS[(i + j) % 4] ?? {} })))

let model: LanguageModel
beforeAll(async () => {
  model = await load('nano-chatlm', { device: 'cpu', contextSize: 4096 })
})
afterAll(() => model.dispose())

async function answer(index: number, signal?: AbortSignal) {
  const { prompt, options } = REQUESTS[index] ?? { prompt: '', options: {} }
  const result = await model.generate(prompt, { ...options, ...(signal === undefined ? {} : { signal }) })
  return { ids: result.ids, sequences: result.sequences.map(({ ids, score }) => ({ ids, score })) }
}

const indices = REQUESTS.map((_, index) => index)
async function oneByOne() {
  const answers: Awaited<ReturnType<typeof answer>>[] = []
  for (const index of indices) answers.push(await answer(index))
  return answers
}

test('side by side every request gets what it gets alone, to the last bit', async () => {
  const alone = await oneByOne()
  for (let round = 0; round < 3; round++)
    expect(await Promise.all(indices.map((index) => answer(index)))).toEqual(alone)
})

test('a request that is aborted among others leaves them alone', async () => {
  const alone = await oneByOne()
  for (const delay of [0, 5, 20]) {
    const controller = new AbortController()
    const all = indices.map((index) => answer(index, index % 4 === 1 ? controller.signal : undefined))
    setTimeout(() => controller.abort(), delay)
    const outcomes = await Promise.allSettled(all)
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') expect(outcome.value).toEqual(alone[index])
      else expect([index % 4, (outcome.reason as TandemError).code]).toEqual([1, 'aborted'])
    }
  }
})

test('what fails for one, or for want of room together, is no other’s failure', async () => {
  const alone = await oneByOne()
  const small = await load('nano-chatlm', { device: 'cpu', contextSize: 72 })
  try {
    const requests = indices.filter((index) => index % 4 !== 3)
    const outcomes = await Promise.allSettled(
      requests.map(async (index) => {
        const { prompt, options } = REQUESTS[index] ?? { prompt: '', options: {} }
        return (await small.generate(prompt, options)).ids
      }),
    )
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') expect(outcome.value).toEqual(alone[requests[at] ?? -1]?.ids)
      else expect((outcome.reason as TandemError).code).toBe('context-full')
    }
    expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true)
    expect((await small.generate(PROMPTS[0] ?? '', OPTIONS[0])).ids).toEqual(alone[0]?.ids)
  } finally {
    await small.dispose()
  }
})

test('dispose ends all that share a step', async () => {
  const other = await load('nano-chatlm', { device: 'cpu' })
  const all = PROMPTS.map((prompt) => other.generate(prompt, { doSample: false, minNewTokens: 200, maxNewTokens: 200 }))
  setTimeout(() => other.dispose(), 10)
  const outcomes = await Promise.allSettled(all)
  for (const outcome of outcomes) {
    expect(outcome.status === 'rejected' && (outcome.reason as TandemError).code).toBe('disposed')
  }
})
