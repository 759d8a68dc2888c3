import { describe, expect, it } from 'vitest'
import type { Contender, Work } from '../bench/peers/contender.ts'
import type { Environment } from '../bench/peers/environment.ts'
import { TABLES } from '../bench/peers/lines.ts'
import { advantage, bestOfPeers, linesByThreads, type MeasuredLine, measureLine } from '../bench/peers/measure.ts'
import { benchmarksDocument } from '../bench/peers/report.ts'

/** Answers the given times one after the other. */
class Scripted implements Contender {
  readonly peer: string
  readonly setting: string
  readonly seen: Work[] = []
  readonly #times: number[]

  constructor(peer: string, setting: string, times: number[]) {
    this.peer = peer
    this.setting = setting
    this.#times = times
  }

  async measure(work: Work): Promise<number> {
    this.seen.push(work)
    return this.#times[this.seen.length - 1] ?? Number.NaN
  }

  async close(): Promise<void> {}
}

const LINE = {
  title: 'a line',
  shape: 'chatlm',
  work: { kind: 'prompt', length: 16 },
  field: 'all',
} as const

const ENVIRONMENT: Environment = {
  date: '2000-01-01',
  machine: { processor: 'a processor' },
  versions: { Tandem: '1' },
  limit: [{ model: 'chatlm', stepBytes: 2e8, readBandwidth: 4e10 }],
  turns: 3,
}

function measured(unit: string, results: [peer: string, setting: string, value: number][]): MeasuredLine {
  const isSpeed = unit.endsWith('/s')
  return {
    title: 'a line',
    unit,
    isSpeed,
    failures: [],
    results: results.map(([peer, setting, value]) => ({ peer, setting, value })),
  }
}

describe('measureLine', () => {
  it('lets all take turns and returns the medians in the unit of the line', async () => {
    const contenders = [new Scripted('A', 'one', [10, 30, 20]), new Scripted('B', 'two', [4, 4, 1000])]
    const line = await measureLine({ ...LINE, unit: 'tokens/s', convert: (ms) => 1000 / ms }, contenders, 3)
    expect(line).toMatchObject({ title: 'a line', unit: 'tokens/s', isSpeed: true })
    expect(line.results).toEqual([
      { peer: 'A', setting: 'one', value: 50 },
      { peer: 'B', setting: 'two', value: 250 },
    ])
    expect(contenders.map(({ seen }) => seen)).toEqual([Array(3).fill(LINE.work), Array(3).fill(LINE.work)])
  })
})

it('goes on without a program that fails, and says why', async () => {
  const broken = new Scripted('Broken', 'one', [1])
  broken.measure = () => Promise.reject(new Error('Traceback:\nno such module'))
  const line = await measureLine({ ...LINE, unit: 'ms' }, [broken, new Scripted('A', 'two', [5, 5])], 2)
  expect(line.results).toEqual([{ peer: 'A', setting: 'two', value: 5 }])
  expect(line.failures).toEqual(['Broken, one: no such module'])
  const document = benchmarksDocument([{ name: 't5-decode', title: 'T5', lines: [line] }], ENVIRONMENT)
  expect(document).toContain('Not measured (a line): Broken, one: no such module')
})

describe('the best setting', () => {
  it.each([
    { unit: 'ms', best: 'fast', times: 2 },
    { unit: 'tokens/s', best: 'slow', times: 0.25 },
  ])('of a peer, in $unit', ({ unit, best, times }) => {
    const line = measured(unit, [
      ['Tandem', '', 10],
      ['Peer', 'slow', 40],
      ['Peer', 'fast', 20],
    ])
    const [ours, theirs] = bestOfPeers(line)
    expect(theirs?.setting).toBe(best)
    expect(ours && theirs && advantage(line, ours, theirs)).toBe(times)
  })
})

it('shows each number of threads in a line of its own', () => {
  const results = [
    { peer: 'Tandem', setting: 'q8_0, 2 threads', threads: 2, value: 5 },
    { peer: 'Peer', setting: '1 thread', threads: 1, value: 30 },
    { peer: 'Tandem', setting: 'q8_0, 1 thread', threads: 1, value: 10 },
    { peer: 'Peer', setting: 'batches', value: 1 },
  ]
  const lines = linesByThreads({ ...measured('ms', []), results, failures: ['Peer, 2 threads: no memory'] })
  expect(lines.map(({ title }) => title)).toEqual(['a line, 1 thread', 'a line, 2 threads'])
  expect(lines.map((line) => line.results.map(({ value }) => value))).toEqual([[10, 30], [5]])
  expect(lines.map(({ failures }) => failures.length)).toEqual([1, 0])
})

describe('benchmarksDocument', () => {
  it('compares with the best program, and says where it loses', () => {
    const lines = [
      measured('ms', [
        ['Tandem', 'q8_0', 5],
        ['CTranslate2', 'int8', 15],
        ["llama.cpp's kernels", 'q8_0', 4],
        ['transformers', 'float32', 50],
      ]),
      {
        ...measured('tokens/s', [
          ['Tandem', 'q8_0', 100],
          ['CTranslate2', 'int8', 125],
        ]),
        title: 'another',
      },
    ]
    const document = benchmarksDocument([{ name: 't5-decode', title: 'T5', lines }], ENVIRONMENT)
    expect(document).toContain(
      '| a line (ms) | 5.00 (q8_0) | 15.0 (int8) | 4.00 (q8_0) | 50.0 (float32) | **3.00 ×** |',
    )
    expect(document).toContain('| another (tokens/s) | 100 (q8_0) | 125 (int8) | – | – | **0.80 ×** |')
    expect(document).toContain('- T5, another: CTranslate2 is 1.25 times better.')
    expect(document).toContain('reads 200 MB of weights; at the 40.0 GB/s')
    expect(document).toContain('that takes 5.00 ms')
  })
})

it('has lines whose works fit their fields', () => {
  const lines = Object.values(TABLES).flatMap((table) => table.lines)
  expect(lines.length).toBeGreaterThan(10)
  for (const { work, field, title } of lines) {
    expect(field === 'convert', title).toBe(work.kind === 'convert')
    expect(field === 'batch', title).toBe(work.kind === 'batch')
  }
})
