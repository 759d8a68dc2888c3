import { setTimeout } from 'node:timers/promises'
import { medianOf } from '../../src/runtime/step-clock.ts'
import { startBusyProgram } from './busy-program.ts'
import type { Contender } from './contender.ts'
import { threads } from './contenders.ts'
import type { Line } from './lines.ts'

/** What one contender took for a line: the median of its turns, in the line's unit. */
export interface Result {
  peer: string
  setting: string
  threads?: number
  value: number
}

export interface MeasuredLine {
  title: string
  unit: string
  /** Whether more is better. */
  isSpeed: boolean
  results: Result[]
  /** Who could not do it, and why, in one line each. */
  failures: string[]
}

/** Threads of OpenMP spin after their work, waiting for more: LLVM's for 200 ms (KMP_BLOCKTIME). The next one must not meet them. */
const PAUSE_MS = 300

/**
 * Lets all contenders take turns at a line, so that what else happens on the machine happens to all of them; in another order
 * each time, so that none always follows the same one.
 */
export async function measureLine(line: Line, contenders: readonly Contender[], turns: number): Promise<MeasuredLine> {
  const times = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]))
  const failures: string[] = []
  const busy = line.isBusy === true ? startBusyProgram() : undefined
  try {
    for (let turn = 0; turn < (line.turns ?? turns); turn++) {
      for (const [contender, taken] of shuffled([...times])) {
        try {
          taken.push(await contender.measure(line.work))
        } catch (error) {
          // A quarter of an hour is not to be lost because one of them cannot run here.
          failures.push(`${contender.peer}, ${contender.setting}: ${lastLine(error)}`)
          times.delete(contender)
          await contender.close()
        }
        await setTimeout(PAUSE_MS)
      }
    }
  } finally {
    busy?.kill()
  }
  const { title, unit, convert = (value: number) => value } = line
  const results = [...times].map(([{ peer, setting, threads }, taken]) => ({
    peer,
    setting,
    ...(threads === undefined ? {} : { threads }),
    value: convert(medianOf(taken)),
  }))
  return { title, unit, isSpeed: unit.endsWith('/s'), results, failures }
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  const places = items.map((item) => ({ item, place: Math.random() }))
  return places.sort((one, other) => one.place - other.place).map(({ item }) => item)
}

function lastLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.trim().split('\n').at(-1) ?? ''
}

/** A line for each number of threads, of those who took turns at one; programs in the order of the line. */
export function linesByThreads(line: MeasuredLine): MeasuredLine[] {
  const peers = [...new Set(line.results.map(({ peer }) => peer))]
  const counts = [...new Set(line.results.flatMap(({ threads }) => threads ?? []))].sort((a, b) => a - b)
  return counts.map((count, i) => ({
    ...line,
    title: `${line.title}, ${threads(count)}`,
    results: peers.flatMap((peer) => line.results.filter((one) => one.peer === peer && one.threads === count)),
    failures: i === 0 ? line.failures : [],
  }))
}

/** The best setting of each peer, in the order in which peers take their turns. */
export function bestOfPeers({ results, isSpeed }: MeasuredLine): Result[] {
  const best = new Map<string, Result>()
  for (const result of results) {
    const known = best.get(result.peer)
    if (known === undefined || (isSpeed ? result.value > known.value : result.value < known.value)) {
      best.set(result.peer, result)
    }
  }
  return [...best.values()]
}

/** How many times better `ours` is than `theirs`; below 1 it is worse. */
export function advantage({ isSpeed }: MeasuredLine, ours: Result, theirs: Result): number {
  return isSpeed ? ours.value / theirs.value : theirs.value / ours.value
}
