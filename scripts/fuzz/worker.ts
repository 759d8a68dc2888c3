import { openSync, writeSync } from 'node:fs'
import { Random } from './random.ts'
import { isTargetName, openTarget } from './targets.ts'

/** Longest time that one input may take, milliseconds of wall clock on a busy machine. */
const SLOW_MS = 5_000

/** What the parent asks of a worker, and what it gets back. */
export interface WorkerReport {
  outcomes: Record<string, number>
  findings: { seed: number; error: string }[]
  next: number
  slowestMs: number
}

/**
 * Feeds one target with inputs until the time is up. Each seed is written to a file before its input is read: whoever
 * finds this process dead finds there what killed it.
 */
async function main([name = '', first = '0', seconds = '10', count = '0', trace = '']: string[]): Promise<void> {
  if (!isTargetName(name)) throw new Error(`There is no target ${name}`)
  const target = await openTarget(name)
  const seedFile = trace === '' ? undefined : openSync(trace, 'w')
  const report: WorkerReport = { outcomes: {}, findings: [], next: Number(first), slowestMs: 0 }
  const end = performance.now() + Number(seconds) * 1000
  const last = Number(count) > 0 ? Number(first) + Number(count) : Number.POSITIVE_INFINITY
  for (; report.next < last && performance.now() < end && report.findings.length < 20; report.next++) {
    if (seedFile !== undefined) writeSync(seedFile, `${report.next}\n`.padStart(16), 0)
    const begin = performance.now()
    let outcome = 'finding'
    try {
      outcome = await target.run(new Random(report.next))
    } catch (error) {
      report.findings.push({
        seed: report.next,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
    }
    const elapsed = performance.now() - begin
    if (elapsed > SLOW_MS) report.findings.push({ seed: report.next, error: `took ${Math.round(elapsed)} ms` })
    report.slowestMs = Math.max(report.slowestMs, elapsed)
    report.outcomes[outcome] = (report.outcomes[outcome] ?? 0) + 1
  }
  await target.close?.()
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

await main(process.argv.slice(2))
