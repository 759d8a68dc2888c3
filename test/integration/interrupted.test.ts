import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convertTogether, killConversions } from './killed-conversions.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = (file: string) => JSON.stringify(pathToFileURL(join(root, 'dist', file)).href)

describe('a conversion that is killed', () => {
  it.each(['convert', 'load'] as const)(
    'in the middle of %s leaves no file under its name, or a whole one',
    async (program) => {
      const { killed } = await killConversions(program, 10)
      expect(killed).toBeGreaterThan(0)
    },
  )
})

describe('several processes', () => {
  it.each(['convert', 'load'] as const)('that %s the same model at once all succeed', (program) =>
    convertTogether(program, 3),
  )
})

/** A file system of a given size of its own takes a user namespace, which not every machine grants. */
function canMount(): boolean {
  try {
    execFileSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', tmpdir()], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.skipIf(!canMount())('a disk that is full', () => {
  let place = ''
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'tandem-full-'))
  })
  afterAll(() => rm(place, { recursive: true, force: true }))

  /** Runs a program where `place` is a file system of `size`; gives what it prints as JSON. */
  function within(size: string, body: string): Promise<unknown> {
    const program = `
      import { readdirSync, rmSync, writeFileSync } from 'node:fs'
      const place = ${JSON.stringify(place)}
      const model = ${JSON.stringify(join(root, 'models', 'nano-qwen'))}
      const output = place + '/model.gguf'
      const { convert } = await import(${dist('convert/convert.js')})
      const { load } = await import(${dist('runtime/load.js')})
      const failure = (promise) => promise.then(() => null, ({ name, code, message, expected, received, remedy }) =>
        ({ name, code, message, expected, received, remedy, left: readdirSync(place) }))
      ${body}`
    const mounted = `mount -t tmpfs -o size=${size} none "$1" && exec "$2" --input-type=module -e "$3"`
    const commands = ['-Urm', 'sh', '-c', mounted, 'sh', place, process.execPath, program]
    return new Promise((resolve, reject) => {
      execFile('unshare', commands, (error, stdout) =>
        error === null ? resolve(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')) : reject(error),
      )
    })
  }

  const full = { name: 'TandemError', code: 'io', remedy: 'Free some space or choose another place', left: [] }

  it('is refused before anything is written, with what is needed and what is free', async () => {
    const found = await within('1m', 'console.log(JSON.stringify(await failure(convert(model, { output }))))')
    expect(found).toMatchObject({
      ...full,
      expected: expect.stringMatching(/^\d{7,} free bytes$/) as string,
      received: `${2 ** 20}`,
    })
  })

  it('is said by load, and the cache stays empty', async () => {
    const body = 'console.log(JSON.stringify(await failure(load(model, { cacheDirectory: place }))))'
    expect(await within('1m', body)).toMatchObject(full)
  })

  it('in the middle of the work leaves nothing, and with room again the next conversion succeeds', async () => {
    const found = await within(
      '32m',
      `const fill = () => { try { writeFileSync(place + '/other', Buffer.alloc(2 ** 25)) } catch {} }
       const first = await failure(convert(model, { output, onProgress: fill }))
       rmSync(place + '/other')
       const { bytes } = await convert(model, { output })
       console.log(JSON.stringify({ first, bytes, left: readdirSync(place) }))`,
    )
    expect(found).toMatchObject({
      first: { ...full, message: expect.stringMatching(/ENOSPC/) as string, received: '0', left: ['other'] },
      left: ['model.gguf'],
    })
  })
})
