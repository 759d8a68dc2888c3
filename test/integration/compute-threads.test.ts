import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { load } from '../../src/runtime/load.ts'

const MODELS = ['nano-chatlm', 'nano-qwen']
const STEPS = 40

/** Threads of this process by their numbers, of which the system gives none to two threads in so short a time. */
function threads(): string[] {
  return readdirSync('/proc/self/task')
}

test.runIf(process.platform === 'linux').each(MODELS)('%s starts its threads once, and ends them', async (name) => {
  const before = new Set(threads())
  const model = await load(name, { device: 'cpu', threads: 2 })
  const seen = new Map<string, number>()
  const options = { doSample: false, eosTokenId: null, maxNewTokens: STEPS, onStep: () => count(seen) }
  await model.generate('你好', options)
  const ofModel = [...seen].filter(([thread]) => !before.has(thread))
  // Its own, and one more to compute with; those of Node.js itself start when it first has work for them.
  expect(ofModel.filter(([, steps]) => steps === STEPS).length).toBeGreaterThanOrEqual(2)
  expect(ofModel.length).toBeLessThan(STEPS / 2)
  await model.dispose()
  const left = new Set(threads())
  expect(ofModel.filter(([thread]) => !left.has(thread)).length).toBeGreaterThanOrEqual(2)
})

function count(seen: Map<string, number>): void {
  for (const thread of threads()) seen.set(thread, (seen.get(thread) ?? 0) + 1)
}

test.each(MODELS)('%s answers the same with and without other threads, also after a rest', async (name) => {
  const answers: (readonly number[])[] = []
  for (const threads of [1, 2]) {
    const model = await load(name, { device: 'cpu', threads })
    for (let i = 0; i < 2; i++) {
      answers.push((await model.generate('你好', { doSample: false, eosTokenId: null, maxNewTokens: 12 })).ids)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await model.dispose()
  }
  for (const ids of answers) expect(ids).toEqual(answers[0])
})
