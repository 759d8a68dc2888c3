import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { ENTRY } from './engines.ts'

/** A program that uses the package; `engine`, `model` and `say` are in the scope of `body`. */
function program(place: string, body: string): string {
  return `
    const { startEngine } = await import(${JSON.stringify(pathToFileURL(ENTRY).href)})
    const say = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
    const ENDLESS = { doSample: false, eosTokenId: null, maxNewTokens: 900 }
    const engine = await startEngine({ in: ${JSON.stringify(place)} })
    const model = await engine.load('nano-qwen', { device: 'cpu', threads: 1 })
    ${body}`
}

const parents: ChildProcess[] = []
const orphans = mkdtempSync(join(tmpdir(), 'tandem-orphans-'))
afterAll(() => rmSync(orphans, { recursive: true }))
afterEach(() => {
  for (const parent of parents.splice(0)) parent.kill('SIGKILL')
})

/** A process of its own process group, as a shell starts it. */
function startParent(place: string, body: string, env: NodeJS.ProcessEnv = {}) {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program(place, body)], {
    detached: true,
    env: { ...process.env, ...env },
  })
  parents.push(parent)
  const output = { stdout: '', stderr: '' }
  parent.stdout.on('data', (data: Buffer) => {
    output.stdout += data.toString()
  })
  parent.stderr.on('data', (data: Buffer) => {
    output.stderr += data.toString()
  })
  const ended = new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>((resolve) =>
    parent.once('close', (code, signal) => resolve({ code, signal, ...output })),
  )
  /** What the program has said, once it has said so many lines. */
  const said = async (lines: number): Promise<unknown[]> => {
    while (output.stdout.split('\n').length <= lines) {
      if (parent.exitCode !== null) throw new Error(`The program has ended: ${output.stderr}`)
      await delay(5)
    }
    return output.stdout
      .split('\n')
      .slice(0, lines)
      .map((line) => JSON.parse(line) as unknown)
  }
  return { pid: parent.pid ?? Number.NaN, ended, said }
}

/** A process that has ended stays in Linux's table, as a zombie (Z), until its parent, or init in its place, looks. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Milliseconds until the process is gone; fails after three seconds. */
async function gone(pid: number): Promise<number> {
  const begin = performance.now()
  while (isAlive(pid)) {
    if (performance.now() - begin > 3_000) throw new Error(`Process ${pid} is still alive`)
    await delay(5)
  }
  return performance.now() - begin
}

describe("an engine's process", () => {
  it.each([
    ['idle', 'say(engine.pid)'],
    ['in the middle of a text', "model.generate('a', ENDLESS); setTimeout(() => say(engine.pid), 20)"],
    [
      'in the middle of a conversion',
      `engine.load('nano-qwen', {
         quantization: 'q4_k',
         cacheDirectory: process.env.ORPHANS,
         onProgress: () => say(engine.pid),
       })`,
    ],
  ])('ends when its parent is killed (SIGKILL): %s', async (_, body) => {
    const parent = startParent('process', `${body}; setInterval(() => {}, 1000)`, { ORPHANS: orphans })
    const [pid] = (await parent.said(1)) as [number]
    expect(isAlive(pid)).toBe(true)
    process.kill(parent.pid, 'SIGKILL')
    await parent.ended
    expect(await gone(pid)).toBeLessThan(1_000)
  })

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('leaves %s of its group to its parent', async (signal) => {
    const parent = startParent(
      'process',
      `process.on(${JSON.stringify(signal)}, async () => {
         say((await answer).ids.length)
         await engine.dispose()
         process.exit(7)
       })
       const answer = model.generate('a', { ...ENDLESS, maxNewTokens: 500 })
       setTimeout(() => say(engine.pid), 20)`,
    )
    const [pid] = (await parent.said(1)) as [number]
    process.kill(-parent.pid, signal)
    expect(await parent.ended).toMatchObject({ code: 7, stdout: `${pid}\n500\n`, stderr: '' })
    expect(isAlive(pid)).toBe(false)
  })

  it('ends with a parent that does not handle the signal', async () => {
    const parent = startParent('process', "model.generate('a', ENDLESS); setTimeout(() => say(engine.pid), 20)")
    const [pid] = (await parent.said(1)) as [number]
    process.kill(-parent.pid, 'SIGINT')
    expect(await parent.ended).toMatchObject({ code: null, signal: 'SIGINT' })
    await gone(pid)
  })

  it('works under node --watch, whose children report what they read', async () => {
    const body = "say((await model.generate('a', { ...ENDLESS, maxNewTokens: 3 })).ids.length)"
    const parent = startParent('process', body, { WATCH_REPORT_DEPENDENCIES: '1' })
    expect(await parent.ended).toMatchObject({ code: 0, stdout: '3\n', stderr: '' })
  })
})

describe.each(['process', 'worker'])('a program with an engine in a %s', (place) => {
  it('ends by itself when nothing is left to wait for, though nobody has disposed of the engine', async () => {
    const parent = startParent(place, 'say(engine.pid ?? null)')
    const begin = performance.now()
    const [pid] = (await parent.said(1)) as [number | null]
    expect(await parent.ended).toMatchObject({ code: 0, stderr: '' })
    expect(performance.now() - begin).toBeLessThan(5_000)
    if (pid !== null) await gone(pid)
  })

  it('waits for the answers that it awaits, and ends after dispose', async () => {
    const parent = startParent(
      place,
      `let pieces = 0
       for await (const piece of model.stream('a', { ...ENDLESS, maxNewTokens: 50 })) pieces++
       say(pieces > 0)
       await model.dispose()
       await engine.dispose()
       say('end')`,
    )
    expect(await parent.ended).toMatchObject({ code: 0, stdout: 'true\n"end"\n', stderr: '' })
  })
})

describe('a worker thread', () => {
  it.each(['process', 'worker'])('can have an engine in a %s of its own', async (place) => {
    const body = `
      const { parentPort } = await import('node:worker_threads')
      parentPort.postMessage((await model.generate('a', { ...ENDLESS, maxNewTokens: 3 })).ids.length)
      await engine.dispose()`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program(place, body))}`))
    const exited = new Promise((resolve) => worker.once('exit', resolve))
    const answer = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    expect(answer).toBe(3)
    expect(await exited).toBe(0)
  })
})
