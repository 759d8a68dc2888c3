import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Diagnosis } from '../../src/runtime/diagnosis.ts'
import { diagnose } from '../../src/runtime/diagnosis.ts'
import { MAIN } from './command.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-doctor-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function doctor(environment: Record<string, string>, ...parameters: string[]) {
  const env = { ...process.env, FORCE_COLOR: '0', TANDEM_CACHE: join(folder, 'cache'), ...environment }
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [MAIN, 'doctor', ...parameters], { env }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    )
  })
}

describe('tandem doctor', () => {
  it('says that all is well, for people and for programs', async () => {
    const { code, out, err } = await doctor({})
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const title of ['Platform', 'Processor', 'Memory', 'llama.cpp', 'Devices', 'Cache', 'Versions']) {
      expect(out).toMatch(new RegExp(`^${title}$`, 'm'))
    }
    expect(out).toContain('Tandem can run models here.')
    const json = await doctor({}, '--json')
    const diagnosis = JSON.parse(json.out) as Diagnosis
    expect(json.code).toBe(0)
    expect(diagnosis).toMatchObject({
      canRun: true,
      platform: { node: process.versions.node },
      versions: { nodeLlamaCpp: '3.22.1', tandem: expect.stringMatching(/^\d/) as string },
      cache: { directory: join(folder, 'cache'), files: 0, isWritable: true },
    })
    expect(diagnosis.versions.llamaCpp).toBe(diagnosis.library.release)
    expect(diagnosis.library.loaded).not.toBeNull()
  })

  it.each([
    ['missing', undefined, /has not been built: expected \S+$/],
    ['broken', 'not a library', /cannot be opened/],
  ])('tells of a %s addon and ends with 1', async (name, content, message) => {
    const addon = join(folder, `${name}.node`)
    if (content !== undefined) await writeFile(addon, content)
    const { code, out, err } = await doctor({ TANDEM_ADDON: addon }, '--json')
    const { canRun, library, devices, findings, versions } = JSON.parse(out) as Diagnosis
    expect({ code, err, canRun, devices }).toEqual({ code: 1, err: '', canRun: false, devices: [] })
    expect(library).toMatchObject({ addon, release: null, loaded: null, trouble: { code: 'library-missing' } })
    expect(library.trouble?.message).toMatch(message)
    expect(findings[0]?.severity).toBe('error')
    expect(findings[0]?.remedy).toMatch(name === 'missing' ? /npm run build:native/ : /Install/)
    expect(versions.llamaCpp).toBeNull()
    const shown = await doctor({ TANDEM_ADDON: addon })
    expect(shown.code).toBe(1)
    expect(shown.out).toContain('Tandem cannot run models here.')
  })

  it('counts the files of the cache, and sees one that is no folder', async () => {
    const cache = join(folder, 'counted')
    await mkdir(join(cache, 'inner'), { recursive: true })
    await writeFile(join(cache, 'a.gguf'), 'x'.repeat(1000))
    await writeFile(join(cache, 'b.gguf'), 'x'.repeat(24))
    expect(await diagnose({ cacheDirectory: cache })).toMatchObject({
      canRun: true,
      cache: { directory: cache, files: 2, size: 1024, isWritable: true },
    })
    const { cache: file, findings } = await diagnose({ cacheDirectory: join(cache, 'a.gguf') })
    expect(file).toMatchObject({ trouble: { message: expect.stringMatching(/ENOTDIR/) as string } })
    expect(findings.some(({ severity }) => severity === 'error')).toBe(true)
  })

  it('believes the limits of a container', async () => {
    const root = join(folder, 'root')
    for (const [path, text] of [
      ['proc/self', '0::/\n'],
      ['sys/fs', ''],
    ] as const) {
      await mkdir(join(root, path), { recursive: true })
      if (text !== '') await writeFile(join(root, path, 'cgroup'), text)
    }
    await mkdir(join(root, 'sys/fs/cgroup'))
    await writeFile(join(root, 'sys/fs/cgroup/memory.max'), String(2 ** 28))
    const { memory, findings } = await diagnose({ cacheDirectory: folder, root })
    expect(memory).toMatchObject({ total: 2 ** 28, limit: 2 ** 28 })
    expect(findings).toContainEqual(expect.objectContaining({ severity: 'warning' }))
  })
})
