import { spawn } from 'node:child_process'
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

/** Scores of the best tokens after each of many tokens; libllama attends to more than 256 in another way. */
async function scores(name: string, threads: number): Promise<number[][]> {
  const model = await load(name, { device: 'cpu', threads, contextSize: 512 })
  const { decoder } = model
  const state = await decoder.start({ inputIds: [7, 30, 51, 12], attentionMask: [1, 1, 1, 1] })
  const found: number[][] = []
  let tokens = state.promptIds
  for (let step = 0; step < 300; step++) {
    const [row] = await decoder.step(state, [tokens], { candidates: 3 })
    found.push([...(row?.scores ?? [])])
    tokens = [row?.ids[0] ?? 0]
  }
  await decoder.dispose(state)
  await model.dispose()
  return found
}

test.each(MODELS)('%s has the same scores to the last bit while a core is kept busy', async (name) => {
  const quiet = await scores(name, 2)
  const busy = spawn(process.execPath, ['-e', 'for (;;);'])
  try {
    expect(await scores(name, 2)).toEqual(quiet)
  } finally {
    busy.kill()
  }
  // So it did not matter how many threads computed a step.
  const same = name === 'nano-chatlm' ? quiet.length : 250
  expect((await scores(name, 1)).slice(0, same)).toEqual(quiet.slice(0, same))
})
