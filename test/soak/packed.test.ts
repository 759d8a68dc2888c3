import { execFile } from 'node:child_process'
import { mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { pack } from '../integration/packed-package.ts'

/** The registry's own installation: 800 MB of packages, half a minute when npm has them in its cache. */
test('npm install of the packed package runs without install scripts and without a compiler', async () => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'tandem-install-')))
  try {
    const archive = await pack(directory)
    await writeFile(join(directory, 'package.json'), JSON.stringify({ name: 'application', private: true }))
    const install = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', archive]
    const npmPath = [dirname(process.execPath), process.env['PATH']].join(delimiter)
    await promisify(execFile)('npm', install, { cwd: directory, env: { ...process.env, PATH: npmPath } })

    await symlink(process.execPath, join(directory, 'node'))
    const env = { PATH: directory, HOME: directory, TANDEM_CACHE: join(directory, 'cache'), LANG: 'C' }
    const tandem = async (...args: string[]) =>
      (await promisify(execFile)(join(directory, 'node_modules/.bin/tandem'), args, { cwd: directory, env })).stdout
    expect(await tandem('demo', '--quiet')).toContain('How are you?')
    expect(JSON.parse(await tandem('doctor', '--json'))).toMatchObject({ canRun: true })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
