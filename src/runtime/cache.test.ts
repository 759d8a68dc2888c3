import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cacheDirectory, folderKey } from './cache.ts'

describe('cacheDirectory', () => {
  it('follows TANDEM_CACHE, then the conventions of each platform', () => {
    expect(cacheDirectory({ TANDEM_CACHE: '/a', XDG_CACHE_HOME: '/b' }, 'linux')).toBe('/a')
    expect(cacheDirectory({ XDG_CACHE_HOME: '/b' }, 'linux')).toBe(join('/b', 'tandem'))
    expect(cacheDirectory({ XDG_CACHE_HOME: '' }, 'linux')).toBe(join(homedir(), '.cache', 'tandem'))
    expect(cacheDirectory({}, 'darwin')).toBe(join(homedir(), 'Library', 'Caches', 'tandem'))
    expect(cacheDirectory({ LOCALAPPDATA: '/c' }, 'win32')).toBe(join('/c', 'tandem', 'Cache'))
  })
})

describe('folderKey', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tandem-key-'))
    await writeFile(join(folder, 'config.json'), '{}')
    await writeFile(join(folder, 'model.safetensors'), 'ab')
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('depends on contents, names and the type, and on nothing else', async () => {
    const key = await folderKey(folder, 'q8_0')
    expect(key).toMatch(/^[0-9a-f]{64}$/)
    expect(await folderKey(folder, 'f16')).not.toBe(key)
    await writeFile(join(folder, 'README.md'), 'hello')
    await mkdir(join(folder, 'more.json'))
    expect(await folderKey(folder, 'q8_0')).toBe(key)
    await writeFile(join(folder, 'model.safetensors'), 'ac')
    expect(await folderKey(folder, 'q8_0')).not.toBe(key)
    await writeFile(join(folder, 'model.safetensors'), 'ab')
    expect(await folderKey(folder, 'q8_0')).toBe(key)
    await writeFile(join(folder, 'chat_template.jinja'), '')
    expect(await folderKey(folder, 'q8_0')).not.toBe(key)
  })

  it.skipIf(process.platform === 'win32')(
    'says which file a link leads to nowhere, as an interrupted download leaves',
    async () => {
      const link = join(folder, 'model-2.safetensors')
      await symlink(join(folder, 'blobs', 'missing'), link)
      await expect(folderKey(folder, 'q8_0')).rejects.toMatchObject({
        name: 'TandemError',
        code: 'not-found',
        message: expect.stringContaining('model-2.safetensors') as string,
      })
      await rm(link)
      await expect(folderKey(join(folder, 'nowhere'), 'q8_0')).rejects.toMatchObject({
        name: 'TandemError',
        code: 'not-found',
      })
    },
  )

  it('can be aborted', async () => {
    await expect(folderKey(folder, 'q8_0', AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
  })
})
