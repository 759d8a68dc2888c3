import { afterAll, beforeAll, expect, test } from 'vitest'
import { NativeProgram } from './program.ts'

let program: NativeProgram
beforeAll(async () => {
  program = await NativeProgram.compile('thread_count.cpp', ['engine/thread_count.cpp'])
}, 60_000)
afterAll(() => program.remove())

/** Milliseconds of a graph on one thread, on two, and so on. */
type Paces = readonly number[]
const IDLE: Paces = [40, 21, 15, 12]
/** Another program keeps one of four cores busy: four threads wait for it, three do not. */
const ONE_CORE_BUSY: Paces = [41, 22, 16, 90]
const ALL_BUSY: Paces = [45, 150, 200, 300]

/** The threads of graphs, one after the other. */
async function threads(graphs: readonly Paces[]): Promise<number[]> {
  const output = await program.run(['4'], graphs.map((paces) => `${paces.join(' ')}\n`).join(''))
  return output.split(' ').map(Number)
}

const repeated = (paces: Paces, times: number) => Array.from({ length: times }, () => paces)
/** Twenty per cent more or less, without order. */
const noisy = (graphs: readonly Paces[]) =>
  graphs.map((paces, i) => paces.map((pace, n) => pace * (0.8 + ((i * 37 + n * 11) % 41) / 100)))
const share = (counts: readonly number[], n: number) => counts.filter((count) => count === n).length / counts.length
const time = (graphs: readonly Paces[], counts: readonly number[]) =>
  counts.reduce((sum, count, i) => sum + (graphs[i]?.[count - 1] ?? Number.NaN), 0)

test('an idle machine keeps all threads, and trying others costs less than two per cent', async () => {
  for (const graphs of [repeated(IDLE, 2000), noisy(repeated(IDLE, 2000))]) {
    const counts = await threads(graphs)
    expect(share(counts, 4)).toBeGreaterThan(0.97)
    expect(time(graphs, counts)).toBeLessThan(1.02 * time(graphs, repeated([4], 2000).flat()))
  }
})

test('a busy core is left alone after a few slow graphs', async () => {
  const graphs = [...repeated(IDLE, 50), ...repeated(ONE_CORE_BUSY, 300)]
  const counts = (await threads(graphs)).slice(50)
  expect(counts.slice(0, 6)).toContain(3)
  expect(share(counts.slice(10), 3)).toBeGreaterThan(0.9)
})

test('a core that is busy now and then is left alone as well, however long nothing happened before', async () => {
  for (const every of [2, 3]) {
    const sometimes = Array.from({ length: 300 }, (_, i) => (i % every === 0 ? ONE_CORE_BUSY : IDLE))
    const counts = (await threads(noisy([...repeated(IDLE, 3000), ...sometimes]))).slice(3000)
    expect(counts.slice(0, 20)).toContain(3)
    expect(share(counts.slice(20), 4)).toBeLessThan(0.3)
  }
})

test('single slow graphs are no reason for fewer threads', async () => {
  const graphs = Array.from({ length: 2000 }, (_, i) => (i % 9 === 5 ? ONE_CORE_BUSY : IDLE))
  expect(share(await threads(graphs), 4)).toBeGreaterThan(0.97)
})

test('a busy machine is left to one thread, and others are tried ever more seldom', async () => {
  const graphs = [...repeated(IDLE, 50), ...repeated(ALL_BUSY, 3000)]
  const counts = (await threads(graphs)).slice(50)
  expect(counts.indexOf(1)).toBeLessThan(40)
  expect(share(counts.slice(100), 1)).toBeGreaterThan(0.97)
  expect(share(counts.slice(2000), 1)).toBeLessThan(1)
})

test('a model that starts on a busy machine finds that out', async () => {
  const counts = await threads(noisy(repeated(ALL_BUSY, 200)))
  expect(share(counts.slice(100), 1)).toBeGreaterThan(0.9)
})

test('once the machine is idle again all threads are back', async () => {
  const counts = await threads([...repeated(IDLE, 50), ...repeated(ALL_BUSY, 100), ...repeated(IDLE, 1000)])
  expect(share(counts.slice(-300), 4)).toBeGreaterThan(0.97)
})
