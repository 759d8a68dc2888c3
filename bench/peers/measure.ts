import { spawn } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { medianOf } from '../../src/runtime/step-clock.ts'
import type { Contender } from './contender.ts'
import type { Line } from './lines.ts'

/** What one contender took for a line: the median of its turns, in the line's unit. */
export interface Result {
  peer: string
  setting: string
  value: number
}

export interface MeasuredLine {
  title: string
  unit: string
  /** Whether more is better. */
  isSpeed: boolean
  results: Result[]
}

/** Threads of OpenMP spin after their work, waiting for more: LLVM's for 200 ms (KMP_BLOCKTIME). The next one must not meet them. */
const PAUSE_MS = 300

/** Lets all contenders take turns at a line, so that what else happens on the machine happens to all of them. */
export async function measureLine(line: Line, contenders: readonly Contender[], turns: number): Promise<MeasuredLine> {
  const times = contenders.map((): number[] => [])
  const busy = line.isBusy === true ? spawn(process.execPath, ['-e', 'for (;;);']) : undefined
  try {
    for (let turn = 0; turn < (line.turns ?? turns); turn++) {
      for (const [i, contender] of contenders.entries()) {
        times[i]?.push(await contender.measure(line.work))
        await setTimeout(PAUSE_MS)
      }
    }
  } finally {
    busy?.kill()
  }
  const { title, unit, convert = (value: number) => value } = line
  const results = contenders.map(({ peer, setting }, i) => ({
    peer,
    setting,
    value: convert(medianOf(times[i] ?? [])),
  }))
  return { title, unit, isSpeed: unit.endsWith('/s'), results }
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
