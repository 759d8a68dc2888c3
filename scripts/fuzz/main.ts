import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isTargetName, TARGET_NAMES, type TargetName } from './targets.ts'
import type { WorkerReport } from './worker.ts'

/*
 * Feeds the readers of foreign files with broken ones: `npm run fuzz -- --seconds 30`. The same seed makes the same
 * input, so `npm run fuzz -- --target gguf --seed 1234 --count 1` repeats a finding. Each target runs in a process of its
 * own, which is started again where it died; a death is a finding, an answer that is no TandemError too.
 */

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    target: { type: 'string', multiple: true, default: [...TARGET_NAMES] },
    seed: { type: 'string', default: '0' },
    count: { type: 'string', default: '0' },
  },
})

/** How long a worker may stay silent after its time is up. */
const PATIENCE_MS = 20_000

interface Total {
  executions: number
  seconds: number
  outcomes: Record<string, number>
  findings: { seed: number; error: string }[]
  slowestMs: number
}

async function fuzz(target: TargetName): Promise<Total> {
  const total: Total = { executions: 0, seconds: 0, outcomes: {}, findings: [], slowestMs: 0 }
  const first = Number(values.seed)
  const count = Number(values.count)
  let seed = first
  while (total.findings.length < 20 && (count === 0 || seed < first + count)) {
    const left = Number(values.seconds) - total.seconds
    if (left <= 0) break
    const begin = performance.now()
    const { report, reached, death } = await runWorker(target, seed, {
      seconds: left,
      count: count === 0 ? 0 : first + count - seed,
    })
    total.seconds += (performance.now() - begin) / 1000
    if (report !== undefined) add(total, report)
    if (death === undefined) break
    total.findings.push({ seed: reached, error: death })
    total.executions += reached - seed
    seed = reached + 1
  }
  return total
}

function add(total: Total, report: WorkerReport): void {
  for (const [outcome, count] of Object.entries(report.outcomes)) {
    total.outcomes[outcome] = (total.outcomes[outcome] ?? 0) + count
    total.executions += count
  }
  total.findings.push(...report.findings)
  total.slowestMs = Math.max(total.slowestMs, report.slowestMs)
}

interface Run {
  report?: WorkerReport
  /** The last seed that was begun. */
  reached: number
  /** How the process ended, if not by itself. */
  death?: string
}

async function runWorker(target: TargetName, seed: number, limits: { seconds: number; count: number }): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-fuzz-'))
  const trace = join(directory, 'seed')
  const worker = fileURLToPath(new URL('worker.js', import.meta.url))
  const child = spawn(process.execPath, [worker, target, `${seed}`, `${limits.seconds}`, `${limits.count}`, trace])
  const timer = setTimeout(() => child.kill('SIGKILL'), limits.seconds * 1000 + PATIENCE_MS)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString()
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr = `${stderr}${data.toString()}`.slice(-4000)
  })
  const end = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? `${code}`))
  })
  clearTimeout(timer)
  const reached = Number(await readFile(trace, 'utf8').catch(() => `${seed}`))
  await rm(directory, { recursive: true, force: true })
  if (end !== '0') return { reached, death: `the process ended with ${end}: ${stderr.trim().slice(0, 1000)}` }
  return { reached, report: JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as WorkerReport }
}

function show(target: TargetName, total: Total): void {
  const rate = Math.round(total.executions / Math.max(total.seconds, 0.001))
  const outcomes = Object.entries(total.outcomes).sort(([, a], [, b]) => b - a)
  const counts = outcomes.map(([outcome, count]) => `${outcome} ${count}`).join(', ')
  process.stdout.write(
    `${target}: ${total.executions} executions in ${total.seconds.toFixed(0)} s (${rate}/s), ${total.findings.length} findings, slowest ${total.slowestMs.toFixed(0)} ms; ${counts}\n`,
  )
  for (const { seed, error } of total.findings) {
    process.stdout.write(`  seed ${seed}: ${error.split('\n').slice(0, 3).join(' ')}\n`)
  }
}

for (const name of values.target) {
  if (!isTargetName(name)) {
    process.stderr.write(`There is no target ${name}; there are ${TARGET_NAMES.join(', ')}\n`)
    process.exitCode = 2
    continue
  }
  const total = await fuzz(name)
  show(name, total)
  if (total.findings.length > 0) process.exitCode = 1
}
