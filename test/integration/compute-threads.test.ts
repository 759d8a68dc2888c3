import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { load } from '../../src/runtime/load.ts'

const MODELS = ['nano-chatlm', 'nano-qwen']
const STEPS = 40
/** Of libllama's tokens: it attends to more in parts, one for each thread. */
const UNPARTED_CELLS = 256
/** Ends with the process that started it. */
const BUSY = 'const parent = process.ppid; while (process.ppid === parent);'

/** Threads of this process by their numbers, of which the system gives none to two threads in so short a time. */
function threadNumbers(): string[] {
  return readdirSync('/proc/self/task')
}

test.runIf(process.platform === 'linux').each(MODELS)('%s starts its threads once, and ends them', async (name) => {
  const before = new Set(threadNumbers())
  const steps = new Map<string, number>()
  const model = await load(name, { device: 'cpu', threads: 2 })
  await model.generate('你好', {
    doSample: false,
    eosTokenId: null,
    maxNewTokens: STEPS,
    onStep() {
      for (const thread of threadNumbers()) steps.set(thread, (steps.get(thread) ?? 0) + 1)
    },
  })
  await model.dispose()
  const begun = [...steps].filter(([thread]) => !before.has(thread))
  expect(begun.length).toBeLessThan(STEPS / 2)
  // Its own and the other one that computes; those of Node.js, which may have begun meanwhile, stay.
  const throughout = begun.filter(([, count]) => count === STEPS).map(([thread]) => thread)
  await vi.waitFor(() => {
    const left = new Set(threadNumbers())
    expect(throughout.filter((thread) => !left.has(thread)).length).toBeGreaterThanOrEqual(2)
  })
})

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

/** Scores of the best tokens after each of 600, of which a trial of fewer threads meets some on either side of the bound. */
async function scores(name: string, threads: number): Promise<number[][]> {
  const model = await load(name, { device: 'cpu', threads, contextSize: 1024 })
  const { decoder } = model
  const state = await decoder.start({ inputIds: [7], attentionMask: [1] })
  const found: number[][] = []
  let tokens = state.promptIds
  for (let step = 0; step < 600; step++) {
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
  const busy = spawn(process.execPath, ['-e', BUSY])
  try {
    expect(await scores(name, 2)).toEqual(quiet)
  } finally {
    busy.kill()
  }
  // So it did not matter how many threads computed a step.
  const same = name === 'nano-chatlm' ? quiet.length : UNPARTED_CELLS
  expect((await scores(name, 1)).slice(0, same)).toEqual(quiet.slice(0, same))
})
