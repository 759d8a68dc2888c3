import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RemoteEngine, startEngine } from '../../src/index.ts'
import { openEngine } from '../../src/remote/engine.ts'
import { startWorker } from '../../src/remote/worker.ts'
import { HOST } from './engines.ts'
import { killEngines } from './killed-engines.ts'

const MODEL = { device: 'cpu', threads: 1 } as const
const ENDLESS = { doSample: false, eosTokenId: null, maxNewTokens: 900 } as const

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-crashes-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** An engine's program that ends in its own way a moment after it is asked to continue the text `crash`. */
async function crashingHost(name: string, crash: string): Promise<string> {
  const path = join(directory, `${name}.mjs`)
  await writeFile(
    path,
    `import { parentPort } from 'node:worker_threads'
     const watch = ({ kind, input }) => {
       if (kind === 'generate' && input === 'crash') setTimeout(() => { ${crash} }, 10)
     }
     ;(parentPort ?? process).on('message', watch)
     await import(${JSON.stringify(pathToFileURL(HOST).href)})`,
  )
  return path
}

/** Lets the engine crash while others wait for it; all must be told within a second, in the same words. */
async function crash(engine: RemoteEngine, act?: () => void): Promise<Record<string, unknown>> {
  const model = await engine.load('nano-qwen', MODEL)
  const waiting = [model.generate('a', ENDLESS), model.stream('b', ENDLESS), model.generate('crash', ENDLESS)]
  const begin = performance.now()
  setTimeout(() => act?.(), 10)
  const outcomes = await Promise.allSettled([...waiting, engine.load('nano-chatlm', MODEL)])
  expect(performance.now() - begin).toBeLessThan(1_000)
  const errors = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : undefined))
  expect(new Set(errors).size).toBe(4)
  for (const error of errors) expect(error).toMatchObject({ name: 'TandemError', code: 'engine-crashed' })
  await model.dispose()
  await expect(engine.load('nano-qwen')).rejects.toMatchObject({ code: 'engine-crashed', message: errors[0].message })
  return errors[0]
}

describe('an engine that ends unexpectedly', () => {
  it('by SIGKILL in the middle of texts tells all that wait for it within a second, and starts again', async () => {
    const { errors } = await killEngines(20)
    expect(errors).toHaveLength(20)
    expect(Math.max(...errors)).toBeLessThan(1_000)
  })

  it.each([
    ['process.exit(3)', /exit code 3/],
    ['process.abort()', /signal SIGABRT/],
    ["process.kill(process.pid, 'SIGSEGV')", /signal SIGSEGV/],
    ["process.stderr.write('x'.repeat(9000) + 'GGML_ASSERT(a > b) failed'); process.abort()", /GGML_ASSERT\(a > b\) f/],
    ["throw new Error('a defect')", /exit code 1, after it wrote: .*Error: a defect/],
    ["Promise.reject(new Error('nobody catches'))", /nobody catches/],
    ['process.disconnect()', /exit code 0|a closed channel/],
    ['process.disconnect(); setTimeout(() => { for (;;) {} }, 1)', /a closed channel/],
  ])('in a child process, by %s, says how', async (body, received) => {
    const host = await crashingHost(`process-${body.length}`, body)
    await using engine = await startEngine({ in: 'process', host })
    expect(await crash(engine)).toMatchObject({ received: expect.stringMatching(received) })
    await engine.restart()
    await using model = await engine.load('nano-qwen', MODEL)
    expect((await model.generate('a', { maxNewTokens: 2, eosTokenId: null })).ids).toHaveLength(2)
  })

  it('keeps the last of what it wrote as the cause of its errors', async () => {
    const host = await crashingHost('talkative', "process.stderr.write('a'.repeat(9000) + 'b'); process.exit(137)")
    await using engine = await startEngine({ in: 'process', host })
    expect(await crash(engine)).toMatchObject({
      cause: { message: `${'a'.repeat(4095)}b` },
      remedy: expect.stringMatching(/out of memory/),
    })
  })

  it.each([
    ['process.exit(3)', /exit code 3/],
    ["throw new Error('a defect')", /Error: a defect/],
    ['throw 5', /5/],
  ])('in a worker thread, by %s, says how', async (body, received) => {
    const host = await crashingHost(`worker-${body.length}`, body)
    await using engine = await startEngine({ in: 'worker', host })
    expect(await crash(engine)).toMatchObject({ received: expect.stringMatching(received) })
    await engine.restart()
    await using model = await engine.load('nano-qwen', MODEL)
    expect((await model.generate('a', { maxNewTokens: 2, eosTokenId: null })).ids).toHaveLength(2)
  })

  it('as a worker thread that is terminated, again and again', async () => {
    let terminate = () => {}
    const open = async () => {
      const link = startWorker(HOST)
      terminate = () => void link.stop(0)
      return link
    }
    await using engine = await openEngine(open)
    for (let i = 0; i < 10; i++) {
      await crash(engine, terminate)
      await engine.restart()
    }
  })

  it('while it is idle is found out by the next call', async () => {
    await using engine = await startEngine({ in: 'process', host: HOST })
    const model = await engine.load('nano-qwen', MODEL)
    process.kill(engine.pid ?? Number.NaN, 'SIGKILL')
    const begin = performance.now()
    await expect(model.tokenizer.encode('a')).rejects.toMatchObject({ code: 'engine-crashed' })
    expect(performance.now() - begin).toBeLessThan(1_000)
  })
})

describe('starting an engine', () => {
  it.each(['process', 'worker'] as const)('says why a program in a %s does not start', async (place) => {
    const missing = join(directory, 'missing.mjs')
    await expect(startEngine({ in: place, host: missing })).rejects.toMatchObject({
      code: 'engine-crashed',
      received: expect.stringMatching(/missing\.mjs/) as string,
    })
    const silent = join(directory, 'silent.mjs')
    await writeFile(silent, '')
    await expect(startEngine({ in: place, host: silent })).rejects.toMatchObject({
      code: 'engine-crashed',
      received: 'exit code 0',
    })
  })

  it.each(['process', 'worker'] as const)('in a %s can be aborted', async (place) => {
    const reason = new Error('enough')
    const aborted = { name: 'TandemError', code: 'aborted', cause: reason }
    const before = startEngine({ in: place, host: HOST, signal: AbortSignal.abort(reason) })
    await expect(before).rejects.toMatchObject(aborted)
    const controller = new AbortController()
    const during = startEngine({ in: place, host: HOST, signal: controller.signal })
    setTimeout(() => controller.abort(reason), 10)
    await expect(during).rejects.toMatchObject(aborted)
    const late = new AbortController()
    await using engine = await startEngine({ in: place, host: HOST, signal: late.signal })
    late.abort()
    await using model = await engine.load('nano-qwen', MODEL)
    expect(model.kind).toBe('decoder-only')
  })

  it.each([undefined, null, 'process', {}, { in: 'thread' }, { in: 'constructor' }, { in: 'worker', host: 5 }])(
    'refuses %j',
    async (options) => {
      await expect(startEngine(options as never)).rejects.toMatchObject({ code: 'invalid-argument' })
    },
  )

  it.each(['process', 'worker'] as const)('again, in a %s, ends what runs; once for all who ask', async (place) => {
    await using engine = await startEngine({ in: place, host: HOST })
    const model = await engine.load('nano-qwen', MODEL)
    const running = expect(model.generate('a', ENDLESS)).rejects.toMatchObject({ code: 'disposed' })
    const first = engine.pid
    const restarts = [engine.restart(), engine.restart()]
    const loading = engine.load('nano-qwen', MODEL)
    await Promise.all([running, ...restarts])
    if (place === 'process') expect(engine.pid).not.toBe(first)
    await expect(model.generate('a')).rejects.toMatchObject({ code: 'disposed' })
    await model.dispose()
    expect((await (await loading).generate('a', { maxNewTokens: 2, eosTokenId: null })).ids).toHaveLength(2)
  })

  it.each(['process', 'worker'] as const)('is the last thing before dispose in a %s', async (place) => {
    const engine = await startEngine({ in: place, host: HOST })
    const model = await engine.load('nano-qwen', MODEL)
    const running = [model.generate('a', ENDLESS), engine.load('nano-chatlm', MODEL), model.tokenizer.encode('a')]
    const ended = Promise.allSettled(running)
    await Promise.all([engine.dispose(), engine.dispose()])
    await engine[Symbol.asyncDispose]()
    for (const one of await ended) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'disposed' } })
    await expect(engine.load('nano-qwen')).rejects.toMatchObject({ code: 'disposed' })
    await expect(engine.restart()).rejects.toMatchObject({ code: 'disposed' })
    await expect(model.generate('a')).rejects.toMatchObject({ code: 'disposed' })
    await model.dispose()

    const other = await startEngine({ in: place, host: HOST })
    const restarting = other.restart()
    await other.dispose()
    await restarting
    await expect(other.load('nano-qwen')).rejects.toMatchObject({ code: 'disposed' })
  })
})
