import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { startBusyProgram } from '../../bench/peers/busy-program.ts'
import { describeNative } from '../../src/native/library.ts'
import { load } from '../../src/runtime/load.ts'

const MODELS = ['nano-chatlm', 'nano-qwen']
const STEPS = 40
/** Of libllama's tokens, where our attention is not plugged in: ggml's attends to more in parts, one for each thread. */
const UNPARTED_CELLS = 256
const hasOurAttention = () => describeNative().kernels?.libllama !== 'ggml'

const SHOWS_THREADS = process.platform === 'linux' && availableParallelism() > 1

/** Threads of this process by their numbers, of which the system gives none to two threads in so short a time. */
function threadNumbers(): string[] {
  return readdirSync('/proc/self/task')
}

test.runIf(SHOWS_THREADS).each(MODELS)('%s starts its threads once, and ends them', async (name) => {
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

test.runIf(SHOWS_THREADS).each(MODELS)('%s starts no more threads than there are cores', async (name) => {
  const before = threadNumbers().length
  await using model = await load(name, { device: 'cpu', threads: 512 })
  // Waiting for each other, 512 would take minutes.
  await model.generate('你好', { doSample: false, eosTokenId: null, maxNewTokens: STEPS })
  // The engine's own, and what Node.js begins meanwhile: four for files, and a few that compile.
  expect(threadNumbers().length - before).toBeLessThan(availableParallelism() + 16)
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
  const busy = startBusyProgram()
  try {
    expect(await scores(name, 2)).toEqual(quiet)
  } finally {
    busy.kill()
  }
  // So it did not matter how many threads computed a step.
  const same = name === 'nano-chatlm' || hasOurAttention() ? quiet.length : UNPARTED_CELLS
  expect((await scores(name, 1)).slice(0, same)).toEqual(quiet.slice(0, same))
})

test.each(MODELS)('%s has the same beams to the last bit on one thread and on two', async (name) => {
  const results: object[] = []
  for (const threads of [1, 2]) {
    await using model = await load(name, { device: 'cpu', threads, contextSize: 4096 })
    const inputIds = Array.from({ length: 300 }, (_, i) => 7 + ((i * 31) % 90))
    const search = { numBeams: 5, numReturnSequences: 5, doSample: false, eosTokenId: null, maxNewTokens: 300 }
    const { sequences } = await model.generate({ inputIds }, search)
    results.push(sequences)
  }
  if (name === 'nano-chatlm' || hasOurAttention()) expect(results[1]).toEqual(results[0])
})

/** A user who runs nothing else; the system lets root have as many threads as it wants. */
const AS_NOBODY = ['--reuid=64321', '--regid=64321', '--clear-groups', process.execPath, '--input-type=module', '-e']
const LIBRARY = new URL('../../dist/index.js', import.meta.url).href
const canBeNobody = spawnSync('setpriv', [...AS_NOBODY, `await import('${LIBRARY}')`]).status === 0

test.runIf(canBeNobody)('a system that refuses threads ends no process in ggml', () => {
  const cache = mkdtempSync(join(tmpdir(), 'tandem-few-threads-'))
  chmodSync(cache, 0o777)
  const program = `
    const { load } = await import('${LIBRARY}')
    const answer = async (name) => {
      const model = await load(name, { device: 'cpu', threads: 4 })
      await model.generate('a', { doSample: false, maxNewTokens: 3 })
      return 'answered'
    }
    for (const name of ${JSON.stringify(MODELS)}) console.log(await answer(name).catch((error) => error.code))
    process.exit()`
  const told: string[] = []
  // Node.js itself needs some ten; with fewer it ends in its own way.
  for (let most = 9; most < 20; most++) {
    const limited = ['bash', ['-c', `ulimit -u ${most} && exec setpriv "$@"`, 'bash', ...AS_NOBODY, program]] as const
    const { stdout, stderr } = spawnSync(...limited, { encoding: 'utf8', env: { ...process.env, TANDEM_CACHE: cache } })
    expect(stderr).not.toContain('GGML_ASSERT')
    told.push(...stdout.trim().split('\n'))
  }
  rmSync(cache, { recursive: true })
  expect(told.filter((line) => !['', 'answered', 'out-of-memory'].includes(line))).toEqual([])
  expect(told).toContain('answered')
})
