import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const place = mkdtempSync(join(tmpdir(), 'tandem-exit-'))
afterAll(() => rmSync(place, { recursive: true }))

const IMPORT = `const { convert, load } = await import(${JSON.stringify(pathToFileURL(join(root, 'dist/index.js')).href)})`
/** More for the long repetitions: TANDEM_EXITS=200. */
const EXITS = Number(process.env['TANDEM_EXITS'] ?? 12)
const CPU = '{ device: "cpu", threads: 1 }'
const ENDLESS = '{ doSample: false, eosTokenId: null, maxNewTokens: 900 }'

/** What threads of native code may be doing when the process exits. */
const WORK = {
  'a decoder-only model writes': `
    const model = await load('nano-qwen', ${CPU})
    for (const text of ['a', 'b']) model.generate(text, ${ENDLESS}).catch(() => {})`,
  'an encoder-decoder writes': `
    const model = await load('nano-chatlm', ${CPU})
    model.generate('a', { ...${ENDLESS}, numBeams: 4 }).catch(() => {})`,
  'several threads compute': `
    for (const name of ['nano-qwen', 'nano-chatlm']) {
      const model = await load(name, { device: 'cpu', threads: 2 })
      model.generate('a', ${ENDLESS}).catch(() => {})
    }`,
  'models are loaded': `
    await load('nano-qwen', ${CPU})
    for (const name of ['nano-qwen', 'nano-chatlm']) load(name, ${CPU}).catch(() => {})`,
  'a model is converted': `
    let begin
    const begun = new Promise((resolve) => { begin = resolve })
    convert(${JSON.stringify(join(root, 'models/nano-qwen'))}, {
      output: ${JSON.stringify(join(place, 'model.gguf'))},
      quantization: 'iq4_xs',
      onProgress: begin,
    }).catch(() => {})
    await begun`,
}

/** The exit code, or the signal that came in its place. */
function run(program: string): Promise<number | string | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(signal ?? code))
  })
}

describe('process.exit while', () => {
  it.each(Object.entries(WORK))('%s ends the process with its code', async (_, work) => {
    const outcomes: unknown[] = []
    for (let i = 0; i < EXITS; i++) {
      outcomes.push(await run(`${IMPORT}\n${work}\nsetTimeout(() => process.exit(3), ${i % 6})`))
    }
    expect(outcomes).toEqual(outcomes.map(() => 3))
  })

  it('a worker thread writes ends the process with its code', async () => {
    const source = `${IMPORT}
      const { parentPort } = await import('node:worker_threads')
      ${WORK['a decoder-only model writes']}
      parentPort.postMessage('running')`
    const program = `
      const { Worker } = await import('node:worker_threads')
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(source)})))
      worker.once('message', () => setTimeout(() => process.exit(3), 3))`
    const outcomes: unknown[] = []
    for (let i = 0; i < EXITS; i++) outcomes.push(await run(program))
    expect(outcomes).toEqual(outcomes.map(() => 3))
  })

  it('a model writes, by an error that nobody catches, ends the process with code 1', async () => {
    const work = WORK['a decoder-only model writes']
    for (let i = 0; i < 6; i++) {
      expect(await run(`${IMPORT}\n${work}\nsetTimeout(() => { throw new Error('a defect') }, ${i})`)).toBe(1)
    }
  })
})
