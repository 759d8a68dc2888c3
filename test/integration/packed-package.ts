import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** What only building the addon needs: an application must run without. */
const BUILD_DEPENDENCIES = ['cmake-js', 'node-addon-api', 'node-api-headers']

/** An application with the package that `npm publish` would send, in a folder that has nothing else. */
export interface Application {
  directory: string
  /** The package inside of it. */
  package: string
  /** Runs Node.js there, without a compiler or any other program in reach. */
  node(...args: string[]): Promise<{ stdout: string; stderr: string }>
  remove(): Promise<void>
}

/** Packs what is built; nothing is built anew. Gives the path of the archive in `directory`. */
export async function pack(directory: string): Promise<string> {
  await promisify(execFile)('npm', ['pack', '--ignore-scripts', '--pack-destination', directory], { cwd: ROOT })
  const archive = (await readdir(directory)).find((file) => file.endsWith('.tgz'))
  if (archive === undefined) throw new Error(`npm pack left no archive in ${directory}`)
  return join(directory, archive)
}

/** Puts the packed package beside its dependencies of run time, as npm would, but without the network. */
export async function installPacked(): Promise<Application> {
  // Where the temporary folder is a link, Node.js would report the other path.
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'tandem-packed-')))
  const modules = join(directory, 'node_modules')
  const programs = join(directory, 'programs')
  await Promise.all([modules, programs].map((folder) => mkdir(folder)))
  const archive = await pack(directory)
  await promisify(execFile)('tar', ['-xzf', archive, '-C', modules])
  await promisify(execFile)('mv', [join(modules, 'package'), join(modules, 'tandem-llm')])
  const { dependencies } = JSON.parse(await readFile(join(modules, 'tandem-llm/package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of Object.keys(dependencies).filter((name) => !BUILD_DEPENDENCIES.includes(name))) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(ROOT, 'node_modules', name), join(modules, name))
  }
  await symlink(process.execPath, join(programs, 'node'))
  const env = { PATH: programs, HOME: directory, TANDEM_CACHE: join(directory, 'cache'), TMPDIR: directory, LANG: 'C' }
  return {
    directory,
    package: join(modules, 'tandem-llm'),
    node: (...args) => promisify(execFile)(process.execPath, args, { cwd: directory, env }),
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
