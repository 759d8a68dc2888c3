import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { partialName, removeAbandoned } from './partial-file.ts'

const DEAD = spawnSync(process.execPath, ['--version']).pid
const HOUR = 3_600_000

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-partial-'))
  path = join(folder, 'model.gguf')
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
})

/** Leaves a file that a process has begun; gives its name. */
async function begun({ of = path, pid = process.pid, host = '', hoursAgo = 0 } = {}): Promise<string> {
  const name = partialName(of).replace(/\.([0-9a-f]{8})-\d+-/, (_, own: string) => `.${host || own}-${pid}-`)
  await writeFile(name, 'half')
  const time = (Date.now() - hoursAgo * HOUR) / 1000
  await utimes(name, time, time)
  return basename(name)
}

describe('an unfinished file', () => {
  it('has a name of its own', () => {
    expect(new Set(Array.from({ length: 100 }, () => partialName(path))).size).toBe(100)
    expect(partialName(path)).toMatch(/model\.gguf\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.part$/)
  })

  it.each([
    ['a process that is dead', { pid: DEAD }, true],
    ['this process', {}, false],
    ['an earlier process with the number of this one', { hoursAgo: 23 }, true],
    ['another process that lives', { pid: process.ppid }, false],
    ['another process that lives, a day ago', { pid: process.ppid, hoursAgo: 25 }, true],
    ['another machine', { host: '00000000', pid: DEAD }, false],
    ['another machine, a day ago', { host: '00000000', pid: DEAD, hoursAgo: 25 }, true],
    ['no process at all', { pid: 2 ** 40 }, true],
  ])('of %s', async (_, of, isRemoved) => {
    const name = await begun(of)
    await removeAbandoned(path)
    expect(await readdir(folder)).toEqual(isRemoved ? [] : [name])
  })

  it('of another file stays, unless the whole folder is meant', async () => {
    const other = await begun({ of: join(folder, 'other.gguf'), pid: DEAD })
    await writeFile(path, 'complete')
    await writeFile(`${path}.part`, 'of somebody else')
    await removeAbandoned(path)
    expect((await readdir(folder)).sort()).toEqual(['model.gguf', 'model.gguf.part', other])
    await removeAbandoned(folder, { isFolder: true })
    expect((await readdir(folder)).sort()).toEqual(['model.gguf', 'model.gguf.part'])
  })

  it('in a folder that cannot be read is left to whoever writes there', async () => {
    await expect(removeAbandoned(join(folder, 'missing', 'x'))).resolves.toBeUndefined()
  })
})
