import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeSmallModels, type SmallModels } from './small-models.ts'

const NANO_QWEN = fileURLToPath(new URL('../../models/nano-qwen', import.meta.url))
const ENTRY = fileURLToPath(new URL('../../dist/index.js', import.meta.url))

let small: SmallModels
beforeAll(async () => {
  if (!existsSync(ENTRY)) throw new Error('The package is not built: run npm run build')
  small = await makeSmallModels()
})
afterAll(() => small?.remove())

/** A worker thread that loads the small T5 and reports what `body` posts; `model` and `post` are in its scope. */
function worker(body: string): Worker {
  const options = { quantization: 'f32', device: 'cpu', threads: 1, cacheDirectory: small.cache }
  const code = `
    const { parentPort } = require('node:worker_threads')
    const post = (message) => parentPort.postMessage(message)
    import(${JSON.stringify(pathToFileURL(ENTRY).href)}).then(async ({ load }) => {
      const model = await load(${JSON.stringify(small.t5)}, ${JSON.stringify(options)})
      ${body}
    })`
  return new Worker(code, { eval: true })
}

function message(from: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => from.once('message', resolve).once('error', reject))
}

describe('the built package', () => {
  it('can be required', async () => {
    const script = `console.log(Object.keys(require(${JSON.stringify(ENTRY)})).sort().join())`
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', '-e', script])
    const classes = ['ChatModel', 'Conversation', 'LanguageModel', 'TandemError', 'Text2TextModel', 'Tokenizer']
    const others = [
      'EMBEDDED_MODELS',
      'applyChatTemplate',
      'cacheDirectory',
      'convert',
      'diagnose',
      'inspect',
      'load',
      'measureModel',
    ]
    const engines = ['connectEngine', 'serveEngine', 'startEngine']
    expect(stdout.trim()).toBe([...classes, ...others, ...engines].sort().join())
  })

  it('runs in worker threads, several at once', async () => {
    const workers = [1, 2, 3].map(() => worker('post((await model.generate([11, 12])).ids); await model.dispose()'))
    const exits = workers.map((one) => new Promise((resolve) => one.once('exit', resolve)))
    const [first, ...others] = await Promise.all(workers.map(message))
    expect(first).toBeInstanceOf(Array)
    for (const other of others) expect(other).toEqual(first)
    expect(await Promise.all(exits)).toEqual([0, 0, 0])
  })

  it('survives a worker that is terminated in the middle of a text', async () => {
    for (let round = 0; round < 5; round++) {
      const running = worker("model.generate([11, 12], { eosTokenId: null, maxNewTokens: 4000 }); post('running')")
      expect(await message(running)).toBe('running')
      await running.terminate()
    }
    const after = worker('post((await model.generate([11, 12])).ids); await model.dispose()')
    expect(await message(after)).toBeInstanceOf(Array)
  })

  it('survives a worker that is terminated in the middle of a conversion', async () => {
    const output = join(small.directory, 'terminated.gguf')
    for (let round = 0; round < 5; round++) {
      const converting = new Worker(
        `import(${JSON.stringify(pathToFileURL(ENTRY).href)}).then(({ convert }) =>
          convert(${JSON.stringify(NANO_QWEN)}, {
            output: ${JSON.stringify(output)},
            quantization: 'iq4_xs',
            onProgress: () => require('node:worker_threads').parentPort.postMessage('running'),
          }))`,
        { eval: true },
      )
      expect(await message(converting)).toBe('running')
      await converting.terminate()
    }
    expect(existsSync(output)).toBe(false)
  })
})
