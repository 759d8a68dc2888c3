import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

export interface Work {
  contextSize: number
  numBeams: number
  sourceLength: number
}

/** The library as it is built: a measured process must not hold a compiler as well. */
const ENTRY = new URL('../../dist/index.js', import.meta.url)

/**
 * The most memory, in bytes, that a process of its own ever held which loads a model and generates until its context is
 * full. One thread: the number of threads changes nothing but the time.
 */
export async function peakMemory(model: string, work: Work): Promise<number> {
  if (!existsSync(fileURLToPath(ENTRY))) throw new Error('The package is not built: run npm run build')
  const source = `
    const { load } = await import(${JSON.stringify(pathToFileURL(fileURLToPath(ENTRY)).href)})
    const { contextSize, numBeams, sourceLength } = ${JSON.stringify(work)}
    const model = await load(${JSON.stringify(model)}, { device: 'cpu', threads: 1, contextSize })
    const tokens = model.tokenizer.vocabularySize - 20
    const inputIds = Array.from({ length: sourceLength }, (_, i) => 10 + ((i * 7919) % tokens))
    const room = model.kind === 'encoder-decoder' ? contextSize : contextSize - sourceLength
    const maxNewTokens = Math.floor(room / numBeams) - 1
    await model.generate({ inputIds }, { numBeams, doSample: false, maxNewTokens, minNewTokens: maxNewTokens })
    console.log(process.resourceUsage().maxRSS * 1024)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source])
  return Number(stdout)
}
