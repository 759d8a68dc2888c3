import { type ChildProcess, spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadNative } from '../../src/native/library.ts'
import { type ModelMeasurement, measureModel } from '../../src/runtime/measurement.ts'
import { MAIN, outcomeOf } from './command.ts'
import { makeSmallModels, type SmallModels } from './small-models.ts'

const QUICK = { device: 'cpu', threads: 1, repetitions: 1 } as const

let small: SmallModels
beforeAll(async () => {
  small = await makeSmallModels()
})
afterAll(() => small?.remove())

function start(...parameters: string[]): ChildProcess {
  return spawn(process.execPath, [MAIN, 'bench', ...parameters], {
    env: { ...process.env, FORCE_COLOR: '0', LC_ALL: 'C', TANDEM_CACHE: small.cache },
  })
}

const bench = (...parameters: string[]) => outcomeOf(start(...parameters))

describe('measureModel', () => {
  it.each([
    ['nano-chatlm', 'encoder-decoder', 't5'],
    ['nano-qwen', 'decoder-only', 'qwen2'],
  ])('measures %s', async (name, kind, architecture) => {
    const events: number[] = []
    const begin = performance.now()
    const measured = await measureModel(name, {
      ...QUICK,
      cacheDirectory: small.cache,
      onMeasured: ({ done, total }) => events.push(done / total),
    })
    const elapsed = performance.now() - begin
    expect(measured).toMatchObject({ kind, architecture, quantization: 'q8_0', threads: 1, repetitions: 1 })
    expect(measured.prompts.map(({ length }) => length)).toEqual([16, 128, 512])
    expect(measured.steps.map(({ sourceLength, beams }) => [sourceLength, beams])).toEqual(
      [16, 128, 512].flatMap((length) => [1, 2, 5].map((beams) => [length, beams])),
    )
    expect(events).toEqual(Array.from({ length: 9 }, (_, i) => (i + 1) / 9))
    // Medians of what was timed cannot be longer than what all of it took.
    const medians = [...measured.prompts, ...measured.steps.map(({ ms }) => ({ ms: 8 * ms }))]
    for (const { ms } of medians) expect(ms).toBeGreaterThan(0)
    expect(medians.reduce((sum, { ms }) => sum + ms, measured.loadMs)).toBeLessThan(elapsed)
    expect(measured.stepBytes).toBeGreaterThan(0)
    expect(measured.stepBytes).toBeLessThanOrEqual(measured.weightBytes)
    expect(measured.typescriptShare).toBeGreaterThan(0)
    expect(measured.typescriptShare).toBeLessThan(1)
    // From a slow phone to a server.
    expect(measured.memory?.readBandwidth).toBeGreaterThan(1e8)
    expect(measured.memory?.readBandwidth).toBeLessThan(1e13)
  })

  it('measures what a short context leaves room for', async () => {
    const { prompts } = await measureModel(small.qwen, { ...QUICK, cacheDirectory: small.cache, contextSize: 100 })
    expect(prompts.map(({ length }) => length)).toEqual([16])
  })

  it('stops when it is aborted, before and meanwhile', async () => {
    const options = { ...QUICK, cacheDirectory: small.cache }
    const before = measureModel('nano-chatlm', { ...options, signal: AbortSignal.abort() })
    await expect(before).rejects.toMatchObject({ code: 'aborted' })
    const controller = new AbortController()
    const meanwhile = measureModel('nano-chatlm', {
      ...options,
      repetitions: 1_000_000,
      signal: controller.signal,
      onMeasured: () => controller.abort(),
    })
    await expect(meanwhile).rejects.toMatchObject({ code: 'aborted' })
  })

  it.each([
    { repetitions: 0 },
    { repetitions: 1.5 },
    { repetitions: '3' },
    { onMeasured: true },
    { threads: -1 },
    { unknown: 1 },
  ])('refuses %j', async (wrong) => {
    const measured = measureModel('nano-chatlm', { cacheDirectory: small.cache, ...wrong } as object)
    await expect(measured).rejects.toMatchObject({ name: 'TandemError', code: 'invalid-argument' })
  })
})

describe('measureReadBandwidth', () => {
  it('refuses nothing to read and what no memory holds', async () => {
    const native = loadNative()
    expect(() => native.measureReadBandwidth(0, 1)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    await expect(native.measureReadBandwidth(2 ** 31 - 1, 1)).rejects.toMatchObject({ code: 'out-of-memory' })
  })

  it('measures on several threads, and twice at once', async () => {
    const native = loadNative()
    const both = await Promise.all([native.measureReadBandwidth(4, 2), native.measureReadBandwidth(1, 1)])
    for (const bandwidth of both) expect(bandwidth).toBeGreaterThan(1e8)
  })
})

describe('tandem bench', () => {
  it('shows tables with bars, and one object for programs', async () => {
    const { code, out, err } = await bench('-m', small.t5, '--repetitions', '1', '--threads', '1', '--device', 'cpu')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^Load {10}\S+ ms$/m)
    expect(out).toMatch(/^Memory {8}\S+ GB\/s; /m)
    expect(out.match(/^ +(16|128|512) +[125] .* %( {2}[█▏▎▍▌▋▊▉]+)?$/gm)).toHaveLength(9)
    const json = await bench('-m', small.t5, '--repetitions', '1', '--threads', '1', '--device', 'cpu', '--json')
    expect({ code: json.code, err: json.err }).toEqual({ code: 0, err: '' })
    expect(json.out.match(/\n/g)).toHaveLength(1)
    const measured = JSON.parse(json.out) as ModelMeasurement
    expect(measured).toMatchObject({ kind: 'encoder-decoder', device: 'CPU', repetitions: 1, threads: 1 })
    expect(measured.steps).toHaveLength(9)
  })

  it('says what is wrong in one line', async () => {
    expect(await bench()).toMatchObject({ code: 2, out: '' })
    expect(await bench('-m', small.t5, '--repetitions', '0')).toMatchObject({ code: 2, out: '' })
    expect(await bench('-m', 'nowhere')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^tandem: \[not-found\] [^\n]+\n$/) as string,
    })
  })

  it('ends with 130 after SIGINT, and prints nothing', async () => {
    const running = start('-m', 'nano-chatlm', '--repetitions', '1000000', '--verbose')
    const ended = outcomeOf(running)
    running.stderr?.on('data', (text: string) => {
      if (text.includes('tandem: measured: ')) running.kill('SIGINT')
    })
    expect(await ended).toMatchObject({ code: 130, out: '' })
  })
})
