import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = (file: string) => JSON.stringify(pathToFileURL(join(root, 'dist', file)).href)
const MODEL = join(root, 'models', 'nano-qwen')

/** Programs that say when their work begins and when it is done. */
const PROGRAMS = {
  convert: `
    const { convert } = await import(${dist('convert/convert.js')})
    const { loadNative } = await import(${dist('native/library.js')})
    loadNative()
    console.log('begin')
    await convert(process.argv[1], { output: process.argv[2] + '/model.gguf' })
    console.log('done')`,
  load: `
    const { load } = await import(${dist('runtime/load.js')})
    const { loadNative } = await import(${dist('native/library.js')})
    loadNative()
    console.log('begin')
    const model = await load(process.argv[1], { cacheDirectory: process.argv[2], device: 'cpu' })
    console.log('done')
    await model.dispose()`,
}
export type Program = keyof typeof PROGRAMS

/**
 * Kills conversions (SIGKILL) at moments spread over their whole time, one after the other in the same place. After each
 * the final name is absent or complete; the last one is left alone, and what the others left is gone after it.
 * @returns in how many cases the kill came before the end, and in how many it left an unfinished file
 */
export async function killConversions(
  program: Program,
  count: number,
): Promise<{ killed: number; halfWritten: number }> {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-killed-'))
  try {
    const reference = join(directory, 'reference')
    await mkdir(reference)
    await run(program, reference)
    const complete = await digests(reference)
    // The first run read its files from the disk; those that follow are faster.
    for (const name of await readdir(reference)) await rm(join(reference, name))
    const duration = await run(program, reference)
    expect(await digests(reference)).toEqual(complete)
    const place = join(directory, 'place')
    await mkdir(place)
    const outcome = { killed: 0, halfWritten: 0 }
    for (let i = 0; i < count; i++) {
      if ((await run(program, place, (duration * 1.1 * (i + 0.5)) / count)) < 0) outcome.killed++
      const names = await readdir(place)
      if (names.some((name) => name.endsWith('.part'))) outcome.halfWritten++
      const found = await digests(place)
      expect([0, 1]).toContain(found.length)
      if (found.length === 1) expect(found).toEqual(complete)
      // A cache that has its file converts no more.
      for (const name of names.filter((one) => one.endsWith('.gguf'))) await rm(join(place, name))
    }
    await run(program, place)
    expect(await digests(place)).toEqual(complete)
    expect((await readdir(place)).filter((name) => !name.endsWith('.gguf'))).toEqual([])
    return outcome
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Lets several processes convert the same model into the same place at once; all succeed, and one whole file is left. */
export async function convertTogether(program: Program, processes: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-together-'))
  try {
    const [alone, together] = [join(directory, 'alone'), join(directory, 'together')]
    await mkdir(alone)
    await mkdir(together)
    await run(program, alone)
    await Promise.all(Array.from({ length: processes }, () => run(program, together)))
    expect(await digests(together)).toEqual(await digests(alone))
    expect(await readdir(together)).toHaveLength(1)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Milliseconds from its beginning to its end; -1 if it was killed before. */
function run(program: Program, place: string, killAfter?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAMS[program], MODEL, place])
    let begin = 0
    let end = 0
    let errors = ''
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString()
    })
    child.stdout.on('data', (data: Buffer) => {
      if (data.includes('begin')) {
        begin = performance.now()
        if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter)
      }
      if (data.includes('done')) end = performance.now()
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (end > 0) resolve(end - begin)
      else if (signal === 'SIGKILL') resolve(-1)
      else reject(new Error(`The conversion ended with ${code ?? signal}: ${errors}`))
    })
  })
}

async function digests(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.gguf'))
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name))))
  return contents.map((bytes) => createHash('sha256').update(bytes).digest('hex'))
}
