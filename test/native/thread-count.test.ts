import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const here = fileURLToPath(new URL('.', import.meta.url))
const native = fileURLToPath(new URL('../../native', import.meta.url))

let folder = ''
let program = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-threads-'))
  program = join(folder, 'thread-count')
  const sources = [join(here, 'thread_count.cpp'), join(native, 'engine/thread_count.cpp')]
  const options = ['-std=c++17', '-Wall', '-Wextra', '-Werror', '-I', native]
  await run(process.env['CXX'] ?? 'c++', [...options, ...sources, '-o', program])
}, 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The threads of graphs of 10 ms, one after the other: of four at most, with so many losses each. */
async function threads(losses: readonly number[]): Promise<number[]> {
  const { stdout } = await run(program, ['4', ...losses.map(String)])
  return stdout.trim().split(' ').map(Number)
}

const repeated = (losses: number, times: number) => Array.from({ length: times }, () => losses)

test('an idle machine keeps all threads, also when the system takes a core now and then', async () => {
  const counts = await threads(Array.from({ length: 500 }, (_, i) => (i % 10 === 0 ? 1 : 0)))
  expect(new Set(counts)).toEqual(new Set([4]))
})

test('threads that keep losing their cores become fewer, down to one', async () => {
  const counts = await threads(repeated(3, 100))
  expect(counts.slice(0, 2)).toEqual([4, 4])
  expect(counts.indexOf(3)).toBeLessThan(5)
  expect(Math.min(...counts)).toBe(1)
})

test('once the machine is idle again all threads are back within a second', async () => {
  const busy = repeated(3, 8)
  const counts = await threads([...busy, ...repeated(0, 200)])
  expect(Math.min(...counts)).toBeLessThan(4)
  expect(counts.slice(busy.length + 100)).toContain(4)
  expect(counts.at(-1)).toBe(4)
})

test('on a machine that stays busy another thread is tried ever more seldom', async () => {
  const counts = await threads(repeated(3, 3000))
  const tries = (from: number, to: number) => counts.slice(from, to).filter((n) => n > 1).length
  expect(tries(2000, 3000)).toBeLessThan(20)
  expect(tries(100, 3000)).toBeGreaterThan(0)
})
