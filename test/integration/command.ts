import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The command as it is built. */
export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface Outcome {
  code: number | null
  out: string
  err: string
}

/** What a program has written, once it has ended. */
export function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const outcome: Outcome = { code: null, out: '', err: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    outcome.out += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    outcome.err += text
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ ...outcome, code })))
}
