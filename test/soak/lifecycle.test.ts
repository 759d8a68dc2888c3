import { execFile } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { prompt, TINY_MODELS, tinyModel } from '../integration/tiny-models.ts'

/** Reliability goals: a thousand of each, and no memory that stays. */
const REPETITIONS = Number(process.env['TANDEM_SOAK'] ?? 1000)
const LONG = prompt(...Array.from({ length: 800 }, (_, i) => i % 90))
const dist = (file: string) => pathToFileURL(fileURLToPath(new URL(`../../dist/${file}`, import.meta.url))).href

describe.each(TINY_MODELS)('$kind, many times', (tiny) => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  beforeAll(async () => {
    model = await tinyModel(tiny)
  })
  afterAll(() => model.close())

  test('dispose in the middle of a step', async () => {
    for (let i = 0; i < REPETITIONS; i++) {
      const { engine, decoder } = await model.open()
      const state = await decoder.start(prompt(9, 30))
      const step = decoder.step(state, [[...state.promptIds, ...LONG.inputIds]], { candidates: 1 }).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, i % 5))
      await Promise.all([engine.dispose(), step])
    }
  })

  test('abort in the middle of a step; the next answer is the same', async () => {
    const { decoder } = await model.open()
    let expected: string | undefined
    for (let i = 0; i < REPETITIONS; i++) {
      const controller = new AbortController()
      const state = await decoder.start(prompt(9, 30))
      const tokens = [...state.promptIds, ...LONG.inputIds]
      const step = decoder.step(state, [tokens], { candidates: 1 }, controller.signal).catch(() => {})
      setTimeout(() => controller.abort(), i % 5)
      await step
      await decoder.dispose(state)
      const next = await decoder.start(prompt(9, 30, 51))
      const [row] = await decoder.step(next, [next.promptIds], { candidates: 5 })
      expected ??= row?.ids.join()
      expect(row?.ids.join()).toBe(expected)
      await decoder.dispose(next)
    }
  })

  test('loading and disposing leaves no memory behind', async () => {
    // In a program of its own, so that nothing else grows the heap.
    const program = `
      const { readGguf } = await import(${JSON.stringify(dist('formats/gguf/read.js'))})
      const { openEngine } = await import(${JSON.stringify(dist('native/model.js'))})
      const path = ${JSON.stringify(model.path)}
      const file = await readGguf(path)
      const cycles = async (count) => {
        for (let i = 0; i < count; i++) await (await openEngine(file, path, { device: 'cpu', threads: 1 })).dispose()
        globalThis.gc()
        return process.memoryUsage().rss / 2 ** 20
      }
      const [before, after] = [await cycles(300), await cycles(${REPETITIONS})]
      console.log(after - before)`
    const flags = ['--expose-gc', '--input-type=module', '-e', program]
    const { stdout } = await promisify(execFile)(process.execPath, flags)
    expect(Number(stdout)).toBeLessThan(16)
  })

  test('worker threads that are terminated at work', async () => {
    const source = `
      const { parentPort, workerData } = await import('node:worker_threads')
      const { load } = await import(${JSON.stringify(dist('runtime/load.js'))})
      const model = await load(workerData, { device: 'cpu', threads: 1 })
      model.generate({ inputIds: [9, 30] }, { doSample: false, maxNewTokens: 200 }).catch(() => {})
      parentPort.postMessage('running')`
    for (let i = 0; i < REPETITIONS; i++) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
        workerData: model.path,
      })
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await new Promise((resolve) => setTimeout(resolve, i % 20))
      await worker.terminate()
    }
  })
})
