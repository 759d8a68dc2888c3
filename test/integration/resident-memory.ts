import { execFile } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const ENTRY = pathToFileURL(fileURLToPath(new URL('../../dist/index.js', import.meta.url))).href

export interface Repetition {
  model: string
  /** JavaScript of one round, with `load` and the loaded `model` in its scope. */
  round: string
  /** Rounds before the first and before the second look at the memory. */
  counts: readonly [number, number]
}

/**
 * V8 gives its young generation 16 MiB more at some time or other, whatever the program does (100.0 MiB after 20 loads of
 * nano-qwen, 110.4 after 40, 107.8 after 160). Held at 1 MiB: 88.1, 88.5, 88.5.
 */
const NODE_OPTIONS = ['--expose-gc', '--max-semi-space-size=1', '--input-type=module']

/** Resident memory in MiB after so many rounds, and after more: in a program of its own, with garbage collected. */
export async function residentMemory({ model, round, counts }: Repetition): Promise<[number, number]> {
  const program = `
    const { load } = await import(${JSON.stringify(ENTRY)})
    const open = () => load(${JSON.stringify(model)}, { device: 'cpu', threads: 1 })
    const model = await open()
    const rounds = async (count) => {
      for (let i = 0; i < count; i++) { ${round} }
      // What a collection has freed goes back to the system with the next model; how much that is differs each time.
      let least = Infinity
      for (let i = 0; i < 10; i++) {
        globalThis.gc()
        await new Promise((resolve) => setTimeout(resolve, 50))
        await (await open()).dispose()
        globalThis.gc()
        least = Math.min(least, process.memoryUsage().rss / 2 ** 20)
      }
      return least
    }
    console.log(JSON.stringify([await rounds(${counts[0]}), await rounds(${counts[1] - counts[0]})]))`
  const { stdout } = await promisify(execFile)(process.execPath, [...NODE_OPTIONS, '-e', program])
  return JSON.parse(stdout) as [number, number]
}

/** A short text, another one each time. */
export const SHORT_GENERATION = 'await model.generate("你好" + (i % 50), { doSample: false, maxNewTokens: 4 })'
export const LOAD_AND_DISPOSE = 'await (await open()).dispose()'
