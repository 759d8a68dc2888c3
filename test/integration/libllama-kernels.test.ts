import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { convert, type Quantization } from '../../src/convert/convert.ts'
import { loadNative } from '../../src/native/library.ts'
import { divergence } from '../generation/divergence.ts'
import { remembered } from './remembered.ts'
import { type TinyModel, tinyModel } from './tiny-models.ts'

// What libllama multiplies with is decided once per process, so every case is a program over the built package.
const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = (file: string) => JSON.stringify(pathToFileURL(join(root, 'dist', file)).href)
const STRIDE = 10
/** Of four and five bits, or of super-blocks of four to six: the model's rows hold one. */
const PACKED = ['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q4_k_m', 'q5_k_m', 'q6_k'] as const
const OTHERS = ['iq4_nl', 'f16'] as const

const PRELUDE = `
  const { load } = await import(${dist('index.js')})
  const { readGguf } = await import(${dist('formats/gguf/read.js')})
  const { openEngine } = await import(${dist('native/model.js')})
  const { CausalDecoder } = await import(${dist('generation/causal.js')})
  const { describeNative } = await import(${dist('native/library.js')})
  async function rowsOf(path, steps, options = {}) {
    const engine = await openEngine(await readGguf(path), path, { device: 'cpu', threads: 1, contextSize: 1024, ...options })
    const decoder = new CausalDecoder(engine)
    const rows = []
    for (const { inputIds, ids } of steps) {
      const state = await decoder.start({ inputIds, attentionMask: inputIds.map(() => 1) })
      for (const tokens of [state.promptIds, ...ids.map((id) => [id])]) {
        const [row] = await decoder.step(state, [tokens], { candidates: 1, logits: true })
        rows.push([...row.logits])
      }
      await decoder.dispose(state)
    }
    await engine.dispose()
    return rows
  }`

interface Steps {
  inputIds: number[]
  ids: number[]
}

let folder = ''
const nano: Partial<Record<Quantization, string>> = {}
let oddRows: Awaited<ReturnType<typeof tinyModel>>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-libllama-kernels-'))
  for (const quantization of ['f32', 'q8_0', ...PACKED, ...OTHERS] as const) {
    nano[quantization] = join(folder, `${quantization}.gguf`)
    await convert(join(root, 'models/nano-qwen'), { output: nano[quantization], quantization })
  }
  const model: TinyModel = { kind: 'decoder-only', description: 'qwen2-tied-bf16-sharded' }
  oddRows = await tinyModel(model, 'q8_0')
}, 300_000)
afterAll(async () => {
  await oddRows.close()
  await rm(folder, { recursive: true, force: true })
})

/** What ggml computes is the same whichever kernels it is compared with. */
const runOnGgml = remembered((body: string, data: unknown) => runProgram('ggml', body, data))
async function run<Result>(kernels: string, body: string, data: unknown = null): Promise<Result> {
  return (await (kernels === 'ggml' ? runOnGgml(body, data) : runProgram(kernels, body, data))) as Result
}

let programs = 0
async function runProgram(kernels: string, body: string, data: unknown): Promise<unknown> {
  const file = join(folder, `${programs++}.mjs`)
  await writeFile(`${file}.json`, JSON.stringify(data))
  await writeFile(
    file,
    `import { readFileSync, writeFileSync } from 'node:fs'
     const file = ${JSON.stringify(`${file}.json`)}
     const data = JSON.parse(readFileSync(file, 'utf8'))
     ${PRELUDE}
     writeFileSync(file, JSON.stringify(await (async () => { ${body} })()))
     process.exit(0)`,
  )
  await promisify(execFile)(process.execPath, [file], {
    env: { ...process.env, TANDEM_KERNELS: kernels },
  })
  return JSON.parse(await readFile(`${file}.json`, 'utf8'))
}

const rows = (kernels: string, path: string | undefined, steps: readonly Steps[], options: object = {}) =>
  run<number[][]>(kernels, 'return rowsOf(data.path, data.steps, data.options)', { path, steps, options })

function distance(expected: number[][], found: number[][]) {
  let [squares, logits, kl] = [0, 0, 0]
  for (const [at, row] of expected.entries()) {
    kl += divergence(Float32Array.from(row), Float32Array.from(found[at] ?? []))
    squares += row.reduce((sum, value, id) => sum + (value - (found[at]?.[id] ?? Number.NaN)) ** 2, 0)
    logits += row.length
  }
  return { rootMeanSquare: Math.sqrt(squares / logits), kl: kl / expected.length }
}

const ANSWERS = `
  const model = await load(data.path, { device: 'cpu', threads: 1 })
  const answers = []
  for (const prompt of data.prompts) {
    const { inputIds, ids } = await model.generate([{ role: 'user', content: prompt }], { doSample: false, repetitionPenalty: 1 })
    answers.push({ inputIds, ids })
  }
  await model.dispose()
  return answers`

describe.runIf(process.platform === 'linux' && process.arch === 'x64').each(loadNative().kernels())(
  'libllama with %s',
  (kernels) => {
    test('nano-qwen in q8_0: the answers of f32, as near to it as with ggml', { timeout: 300_000 }, async () => {
      const lines = (await readFile(join(root, 'scripts/train/heldout.jsonl'), 'utf8')).trim().split('\n')
      const prompts = lines
        .filter((_, i) => i % STRIDE === 0)
        .map((line) => (JSON.parse(line) as { prompt: string }).prompt)
      const expected = await run<Steps[]>('ggml', ANSWERS, { path: nano.f32, prompts })
      const ours = await run<Steps[]>(kernels, ANSWERS, { path: nano.q8_0, prompts })
      const ggml = await run<Steps[]>('ggml', ANSWERS, { path: nano.q8_0, prompts })
      const same = (found: Steps[]) => found.filter(({ ids }, i) => String(ids) === String(expected[i]?.ids)).length
      expect(same(ours)).toBeGreaterThanOrEqual(same(ggml))
      const steps = expected.filter((_, i) => i % 4 === 0)
      const reference = await rows('ggml', nano.f32, steps)
      const near = distance(reference, await rows(kernels, nano.q8_0, steps))
      const nearGgml = distance(reference, await rows('ggml', nano.q8_0, steps))
      console.log(
        `${kernels}: ${JSON.stringify(near)}, ${same(ours)} same; ggml: ${JSON.stringify(nearGgml)}, ${same(ggml)} same, of ${prompts.length}`,
      )
      expect(near.rootMeanSquare).toBeLessThanOrEqual(1.1 * nearGgml.rootMeanSquare)
      expect(near.kl).toBeLessThanOrEqual(1e-3)
      // Otherwise nothing was plugged in and this compared ggml with itself.
      expect(near.rootMeanSquare).not.toBe(nearGgml.rootMeanSquare)
    })

    test.each(PACKED)('nano-qwen in %s: as near to f32 as with ggml', { timeout: 300_000 }, async (type) => {
      const steps = Array.from({ length: 40 }, (_, i) => ({
        inputIds: [9, 30, 51, 70, 22, 14].map((id) => id + i),
        ids: [5, 6, 7 + i],
      }))
      const reference = await rows('ggml', nano.f32, steps)
      const ours = await rows(kernels, nano[type], steps)
      const ggml = await rows('ggml', nano[type], steps)
      const near = distance(reference, ours)
      const nearGgml = distance(reference, ggml)
      console.log(`${kernels}: ${JSON.stringify(near)}; ggml: ${JSON.stringify(nearGgml)}`)
      expect(near.rootMeanSquare).toBeLessThanOrEqual(1.1 * nearGgml.rootMeanSquare)
      expect(near.kl).toBeLessThanOrEqual(1.1 * nearGgml.kl)
      // ggml rounds activations for super-blocks by 256, not by 32.
      expect(distance(ggml, ours).kl).toBeLessThanOrEqual(type === 'q4_0' ? 1e-3 : 3e-3)
      expect(near.rootMeanSquare).not.toBe(nearGgml.rootMeanSquare)
    })

    test('rows that are no multiple of a panel, long prompts, whatever the number of threads', async () => {
      const inputIds = Array.from({ length: 400 }, (_, i) => (i * 7) % 90)
      const steps = [1, 2, 13, 400].map((length) => ({
        inputIds: inputIds.slice(0, length),
        ids: [3, 4],
      }))
      const one = await rows(kernels, oddRows.path, steps)
      expect(await rows(kernels, oddRows.path, steps, { threads: 3 })).toEqual(one)
      const { kl } = distance(await rows('ggml', oddRows.path, steps), one)
      expect(kl).toBeLessThan(1e-3)
    })

    test.each([...PACKED, ...OTHERS])('beams of %s are the same on one thread and on three', async (type) => {
      const beams = (threads: number) =>
        run(
          kernels,
          `const engine = await openEngine(await readGguf(data.path), data.path, { device: 'cpu', contextSize: 1024, ...data })
           const decoder = new CausalDecoder(engine)
           const inputIds = Array.from({ length: 300 }, (_, i) => 7 + ((i * 31) % 90))
           const state = await decoder.start({ inputIds, attentionMask: inputIds.map(() => 1) })
           const rows = await decoder.step(state, [state.promptIds], { candidates: 1, logits: true })
           decoder.reorder(state, [0, 0, 0, 0, 0])
           for (let token = 20; token < 24; token++) {
             const tokens = [0, 1, 2, 3, 4].map((row) => [token + 10 * row])
             rows.push(...(await decoder.step(state, tokens, { candidates: 1, logits: true })))
           }
           return rows.map(({ logits }) => [...logits])`,
          { path: nano[type], threads },
        )
      expect(await beams(3)).toEqual(await beams(1))
    })

    test.each(OTHERS)('%s stays with ggml’s kernels, and f32 is the same to the last bit', async (quantization) => {
      const steps = [{ inputIds: [9, 30, 51, 70], ids: [5, 6] }]
      expect(await rows(kernels, nano.f32, steps)).toEqual(await rows('ggml', nano.f32, steps))
      // Attention to one cell is its value, whoever computes it: what is left are the products.
      const first = [{ inputIds: [9], ids: [] }]
      expect(await rows(kernels, nano[quantization], first)).toEqual(await rows('ggml', nano[quantization], first))
      expect(await rows(kernels, nano.q8_0, first)).not.toEqual(await rows('ggml', nano.q8_0, first))
      // Attention to several differs; types of blocks round what it gives to their own activations.
      const [ours, ggml] = [
        await rows(kernels, nano[quantization], steps),
        await rows('ggml', nano[quantization], steps),
      ]
      expect(distance(ggml, ours).kl).toBeLessThan(quantization === 'f16' ? 1e-5 : 1e-3)
    })

    test('several models at once, in worker threads too, answer alike', async () => {
      const steps = [{ inputIds: [9, 30, 51], ids: [5] }]
      const outcome = await run<number[][][]>(
        kernels,
        `const { Worker } = await import('node:worker_threads')
         const source = 'const { parentPort, workerData: data } = await import("node:worker_threads");' + ${JSON.stringify(PRELUDE)} + '; parentPort.postMessage(await rowsOf(data.path, data.steps))'
         const inWorker = () => new Promise((resolve, reject) =>
           new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)), { workerData: data }).once('message', resolve).once('error', reject))
         return Promise.all([rowsOf(data.path, data.steps), rowsOf(data.path, data.steps), inWorker(), inWorker()])`,
        { path: nano.q8_0, steps },
      )
      expect(outcome).toHaveLength(4)
      for (const found of outcome) expect(found).toEqual(outcome[0])
    })

    test('node-llama-cpp before us shuts the door, and after us computes with our kernels', async () => {
      const peer = `
        const { getLlama } = await import(${JSON.stringify(pathToFileURL(createRequire(import.meta.url).resolve('node-llama-cpp')).href)})
        const peer = async () => {
          const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false })
          const model = await llama.loadModel({ modelPath: data.path })
          const context = await model.createContext({ contextSize: 64 })
          for await (const token of context.getSequence().evaluate([9, 30, 51], { temperature: 0 })) return token
        }
        const ours = async () => { const [row] = await rowsOf(data.path, data.steps); return row.indexOf(Math.max(...row)) }`
      const data = { path: nano.q8_0, steps: [{ inputIds: [9, 30, 51], ids: [] }] }
      const report = 'describeNative().kernels'
      const before = await run<unknown[]>(kernels, `${peer}; return [await peer(), await ours(), ${report}]`, data)
      const after = await run<unknown[]>(kernels, `${peer}; return [await ours(), await peer(), ${report}]`, data)
      expect(before[2]).toEqual({ t5: kernels, libllama: 'ggml', reason: expect.stringMatching(/first/) as string })
      expect(after[2]).toEqual({ t5: kernels, libllama: kernels, reason: null })
      expect(new Set([...before.slice(0, 2), ...after.slice(0, 2)]).size).toBe(1)
    })
  },
)

test('TANDEM_KERNELS=ggml leaves libllama as it is, and an unknown name is a typed error', async () => {
  const report = `try { await rowsOf(data.path, []); return describeNative().kernels } catch ({ code }) { return code }`
  const data = { path: nano.q8_0 }
  expect(await run('ggml', report, data)).toMatchObject({ libllama: 'ggml', reason: expect.any(String) as string })
  expect(await run('mmx', report, data)).toBe('invalid-argument')
})
