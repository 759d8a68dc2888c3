import { spawn } from 'node:child_process'

/** Runs a program to its end; its output goes into the error if it fails. Returns what it wrote to stdout. */
export function runCommand(program: string, parameters: readonly string[], environment: object = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(out)
      else
        reject(
          new Error(`${program} ${parameters.join(' ')} ended with ${code}: ${`${out}${err}`.trim().slice(-2000)}`),
        )
    })
  })
}
