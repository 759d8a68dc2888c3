import { execFile, execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findVariant } from '../../src/native/variants.ts'
import { TINY_MODELS, tinyModel } from './tiny-models.ts'

// What this file tries is process-wide, so every case is a program of its own over the built package.
const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = (file: string, base = root) => pathToFileURL(join(base, 'dist', file)).href

const TANDEM = `
  const { readGguf } = await import(${JSON.stringify(dist('formats/gguf/read.js'))})
  const { openEngine } = await import(${JSON.stringify(dist('native/model.js'))})
  const { CausalDecoder } = await import(${JSON.stringify(dist('generation/causal.js'))})
  async function tandem(path) {
    const engine = await openEngine(await readGguf(path), path, { device: 'cpu', threads: 1 })
    const decoder = new CausalDecoder(engine)
    const state = await decoder.start({ inputIds: [9, 30, 51], attentionMask: [1, 1, 1] })
    const [row] = await decoder.step(state, [state.promptIds], { candidates: 1 })
    await engine.dispose()
    return row.ids[0]
  }`
const NODE_LLAMA_CPP = pathToFileURL(createRequire(import.meta.url).resolve('node-llama-cpp')).href
const PEER = `
  const { getLlama } = await import(${JSON.stringify(NODE_LLAMA_CPP)})
  async function peer(path) {
    const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false })
    const model = await llama.loadModel({ modelPath: path })
    const context = await model.createContext({ contextSize: 64 })
    const sequence = context.getSequence()
    for await (const token of sequence.evaluate([9, 30, 51], { temperature: 0 })) return token
  }`
const REPORT = `
  const report = (call) => { try { return call() } catch (error) { return { code: error.code, message: error.message } } }`

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

let programs = ''
beforeAll(async () => {
  programs = await mkdtemp(join(tmpdir(), 'tandem-programs-'))
})
afterAll(() => rm(programs, { recursive: true, force: true }))

/** Runs a module as a program of its own; a file, because node-llama-cpp starts others like it. */
async function run(program: string, { env = {}, flags = [] }: { env?: Record<string, string>; flags?: string[] } = {}) {
  const file = join(programs, `${randomUUID()}.mjs`)
  await writeFile(file, program)
  return new Promise<Outcome>((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 60_000 }
    const child = execFile(process.execPath, [...flags, file], options, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

async function answer(program: string, options = {}): Promise<unknown> {
  const { code, stdout, stderr } = await run(program, options)
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null')
}

const library = (base = root) =>
  `const { loadNative, listDevices, describeNative } = await import(${JSON.stringify(dist('native/library.js', base))})`

describe('llama.cpp in one process', () => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  beforeAll(async () => {
    model = await tinyModel(TINY_MODELS[1])
  })
  afterAll(() => model.close())

  test('node-llama-cpp loaded after us and before us: both answer, and alike', async () => {
    const path = JSON.stringify(model.path)
    const after = `${TANDEM}${PEER}; const a = await tandem(${path}); const b = await peer(${path}); const c = await tandem(${path}); console.log(JSON.stringify([a, b, c])); process.exit(0)`
    const before = `${TANDEM}${PEER}; const b = await peer(${path}); const a = await tandem(${path}); const c = await peer(${path}); console.log(JSON.stringify([a, b, c])); process.exit(0)`
    const answers = [await answer(after), await answer(before)].flat()
    expect(answers).toHaveLength(6)
    expect(new Set(answers).size).toBe(1)
  })

  test('a second variant is a typed error that says what runs', async () => {
    const outcome = await answer(
      `${library()}; ${REPORT}; loadNative({ variant: 'cpu' }); loadNative({ variant: 'cpu' }); loadNative();
       console.log(JSON.stringify(report(() => loadNative({ variant: 'vulkan' }))))`,
    )
    expect(outcome).toMatchObject({ code: 'library-conflict', message: expect.stringMatching(/cpu.*vulkan/) as string })
  })

  test('a variant that does not open says what was tried', async () => {
    const outcome = (await answer(
      `${library()}; ${REPORT}; console.log(JSON.stringify(report(() => loadNative({ variant: 'metal' }))))`,
    )) as { code: string; message: string }
    expect(outcome.code).toBe('library-missing')
    expect(outcome.message).toMatch(/tried metal/)
    const unknown = await answer(
      `${library()}; ${REPORT}; console.log(JSON.stringify(report(() => loadNative({ variant: 'tpu' }))))`,
    )
    expect(unknown).toMatchObject({ code: 'invalid-argument' })
  })

  test('auto opens a variant whose devices include the CPU', async () => {
    const outcome = await answer(`${library()}; console.log(JSON.stringify(listDevices()))`)
    expect(outcome).toMatchObject({ devices: expect.arrayContaining([expect.objectContaining({ type: 'cpu' })]) as [] })
  })
})

describe.runIf(process.platform === 'linux')('libraries that are not ours', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tandem-library-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('a foreign libggml-base in the process is a typed error that advises another process', async () => {
    const found = findVariant('cpu')
    if ('obstacle' in found) throw new Error(found.obstacle)
    await cp(found.ggmlBase, join(folder, 'libggml-base.so'))
    const outcome = await answer(`${library()}; ${REPORT}; console.log(JSON.stringify(report(() => loadNative())))`, {
      env: { LD_PRELOAD: join(folder, 'libggml-base.so') },
    })
    expect(outcome).toMatchObject({
      code: 'library-conflict',
      message: expect.stringMatching(/already mapped.*child process/) as string,
    })
  })

  /** A copy of the built package whose node-llama-cpp is made up. */
  async function counterfeit(name: string, release: string, files: string[]): Promise<string> {
    const base = join(folder, name)
    await cp(join(root, 'dist'), join(base, 'dist'), { recursive: true })
    await cp(join(root, 'package.json'), join(base, 'package.json'))
    await mkdir(join(base, 'build', 'Release'), { recursive: true })
    await cp(join(root, 'build/Release/tandem.node'), join(base, 'build/Release/tandem.node'))
    const modules = join(base, 'node_modules')
    await mkdir(join(modules, 'node-llama-cpp'), { recursive: true })
    await writeFile(join(modules, 'node-llama-cpp', 'package.json'), '{"name":"node-llama-cpp","main":"index.js"}')
    await writeFile(join(modules, 'node-llama-cpp', 'index.js'), '')
    const bins = join(modules, '@node-llama-cpp', `linux-${process.arch}`, 'bins', 'build')
    await mkdir(bins, { recursive: true })
    const metadata = { buildOptions: { llamaCpp: { release } } }
    await writeFile(join(bins, '_nlcBuildMetadata.json'), JSON.stringify(metadata))
    for (const file of files) await writeFile(join(bins, file), 'not a library')
    return base
  }

  const LIBRARIES = ['libggml-base.so', 'libggml.so', 'libllama.so']
  test.each([
    ['another release', 'v9.9.9', LIBRARIES, 'library-missing', /cpu: .*v\d.*v9\.9\.9/],
    ['missing libraries', 'v0.5.0', ['libggml.so'], 'library-missing', /cpu: .*lacks libraries/],
    ['broken libraries', 'v0.5.0', LIBRARIES, 'library-missing', /libggml-base\.so/],
  ])('%s', async (name, release, files, code, message) => {
    const base = await counterfeit(name.replaceAll(' ', '-'), release, files)
    const outcome = await answer(
      `${library(base)}; ${REPORT}; console.log(JSON.stringify(report(() => loadNative({ variant: 'cpu' }))))`,
    )
    expect(outcome).toMatchObject({ code, message: expect.stringMatching(message) as string })
  })

  test('metadata that are no JSON are an obstacle like any other', async () => {
    const base = await counterfeit('bad-metadata', 'v0.5.0', LIBRARIES)
    const bins = join(base, 'node_modules', '@node-llama-cpp', `linux-${process.arch}`, 'bins', 'build')
    await writeFile(join(bins, '_nlcBuildMetadata.json'), '{')
    const program = `${library(base)}; ${REPORT}; console.log(JSON.stringify([report(() => loadNative()), describeNative()]))`
    const [outcome, { loaded, tried }] = (await answer(program)) as [object, Record<string, unknown>]
    expect(outcome).toMatchObject({
      code: 'library-missing',
      message: expect.stringMatching(/cannot be read/) as string,
    })
    expect(loaded).toBeNull()
    expect(tried).toMatchObject([
      { variant: 'cuda', obstacle: expect.stringMatching(/is not installed/) as string },
      { variant: 'vulkan' },
      { variant: 'metal' },
      { variant: 'cpu', obstacle: expect.stringMatching(/cannot be read: .*JSON/) as string },
    ])
  })

  test('a GPU variant whose backend opens is loaded after it has been probed', async () => {
    const found = findVariant('cpu')
    if ('obstacle' in found) throw new Error(found.obstacle)
    const base = await counterfeit('gpu', found.release, [])
    const bins = join(base, 'node_modules', '@node-llama-cpp', `linux-${process.arch}-vulkan`, 'bins', 'build')
    await cp(found.directory, bins, { recursive: true })
    await writeFile(join(bins, 'stub.cpp'), 'extern "C" int stub() { return 0; }')
    const link = ['-Wl,--no-as-needed', `-L${bins}`, '-l:libggml-base.so', '-Wl,-rpath,$ORIGIN']
    execFileSync('c++', ['-shared', '-fPIC', join(bins, 'stub.cpp'), '-o', join(bins, 'libggml-vulkan.so'), ...link])
    const outcome = await answer(`${library(base)}; console.log(JSON.stringify(listDevices()))`)
    expect(outcome).toMatchObject({ variant: 'vulkan', devices: [expect.objectContaining({ type: 'cpu' })] })
  })

  test('the addon itself missing says how to build it', async () => {
    const base = await counterfeit('no-addon', 'v0.5.0', [])
    await rm(join(base, 'build'), { recursive: true })
    const outcome = await answer(`${library(base)}; ${REPORT}; console.log(JSON.stringify(report(() => loadNative())))`)
    expect(outcome).toMatchObject({
      code: 'library-missing',
      message: expect.stringMatching(/npm run build:native/) as string,
    })
  })
})

describe('worker threads', () => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  beforeAll(async () => {
    model = await tinyModel(TINY_MODELS[1])
  })
  afterAll(() => model.close())

  const worker = (body: string) => `
    import { Worker } from 'node:worker_threads'
    const source = ${JSON.stringify(`const { parentPort, workerData } = await import('node:worker_threads'); ${TANDEM}; ${body}`)}
    const start = () => new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)), { workerData: ${JSON.stringify(model.path)} })`

  test('several workers and the main thread run models at once', async () => {
    const outcome = await answer(`${worker('parentPort.postMessage(await tandem(workerData))')}
      ${TANDEM}
      const inWorker = () => new Promise((resolve, reject) => start().once('message', resolve).once('error', reject))
      console.log(JSON.stringify(await Promise.all([inWorker(), inWorker(), tandem(${JSON.stringify(model.path)}), inWorker()])))`)
    expect(outcome).toHaveLength(4)
    expect(new Set(outcome as number[]).size).toBe(1)
  })

  // What dies: an engine with a running step, one with a queue, one that is idle, one that still loads.
  test('terminating a worker in the middle of anything ends quietly', async () => {
    const body = `
      const engine = await openEngine(await readGguf(workerData), workerData, { device: 'cpu', threads: 1 })
      openEngine(await readGguf(workerData), workerData, { device: 'cpu', threads: 1 })
      const decoder = new CausalDecoder(engine)
      const ids = Array.from({ length: 1500 }, (_, i) => i % 90)
      const state = await decoder.start({ inputIds: ids, attentionMask: ids.map(() => 1) })
      for (let i = 0; i < 3; i++) decoder.step(state, [ids], { candidates: 1 }).catch(() => {})
      parentPort.postMessage('running')`
    const outcome = await answer(`${worker(body)}
      for (let i = 0; i < 20; i++) {
        const worker = start()
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        await new Promise((resolve) => setTimeout(resolve, i))
        await worker.terminate()
      }
      console.log(JSON.stringify('alive'))`)
    expect(outcome).toBe('alive')
  })

  test('a process may end in the middle of a step', async () => {
    const program = `${TANDEM}
      const path = ${JSON.stringify(model.path)}
      const decoder = new CausalDecoder(await openEngine(await readGguf(path), path, { device: 'cpu', threads: 1 }))
      const ids = Array.from({ length: 1500 }, (_, i) => i % 90)
      const state = await decoder.start({ inputIds: ids, attentionMask: ids.map(() => 1) })
      decoder.step(state, [ids], { candidates: 1 })
      setTimeout(() => process.exit(7), 5)`
    expect(await run(program)).toMatchObject({ code: 7, stderr: '' })
  })

  test('an engine that nobody disposed or holds is collected, and the process ends by itself', async () => {
    const program = `${TANDEM}
      const path = ${JSON.stringify(model.path)}
      const file = await readGguf(path)
      for (let i = 0; i < 10; i++) { await openEngine(file, path, { device: 'cpu', threads: 1 }); globalThis.gc?.() }
      console.log('done')`
    expect(await run(program, { flags: ['--expose-gc'] })).toMatchObject({ code: 0, stderr: '' })
  })
})
