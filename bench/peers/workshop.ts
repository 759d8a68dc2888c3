import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type * as Tandem from '../../src/index.ts'
import { runCommand } from './command.ts'
import { distUrl, projectRoot } from './project-root.ts'
import { type Shape, writeShape } from './shapes.ts'

const PEERS = join(projectRoot, 'bench/peers')

/** Where everything lies that is measured with; made once, outside of the repository. */
export interface Workshop {
  folder: string
  python: string
}

/** The folder that is asked for, or `$TANDEM_BENCH`, or one beside the models that Tandem caches. */
export async function workshopFolder(wanted: string | undefined): Promise<string> {
  const { cacheDirectory } = (await import(distUrl('index.js'))) as typeof Tandem
  return wanted ?? process.env['TANDEM_BENCH'] ?? join(cacheDirectory(), 'bench')
}

/** A Python with the peers of requirements.txt, installed if it is not there; pip's own variables (PIP_…) choose from where. */
export async function preparePython(folder: string): Promise<string> {
  const python = join(folder, 'venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const requirements = join(PEERS, 'requirements.txt')
  const installed = join(folder, 'venv', 'installed.txt')
  const wanted = await readFile(requirements, 'utf8')
  if (existsSync(installed) && (await readFile(installed, 'utf8')) === wanted) return python
  await mkdir(folder, { recursive: true })
  await runCommand(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', join(folder, 'venv')])
  await runCommand(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements])
  await writeFile(installed, wanted)
  return python
}

/** The Hugging Face folder of a shape. */
export async function shapeFolder({ folder }: Workshop, shape: Shape): Promise<string> {
  return once(join(folder, shape), (path) => writeShape(shape, path))
}

/** The shape as Tandem converts it. */
export async function ggufFile(workshop: Workshop, shape: Shape): Promise<string> {
  const source = await shapeFolder(workshop, shape)
  return once(join(workshop.folder, `${shape}-q8_0.gguf`), async (output) => {
    const { convert } = (await import(distUrl('index.js'))) as typeof Tandem
    await convert(source, { output, quantization: 'q8_0' })
  })
}

/** The shape as CTranslate2 converts it, in int8. */
export async function ctranslate2Folder(workshop: Workshop, shape: Shape): Promise<string> {
  const source = await shapeFolder(workshop, shape)
  return once(join(workshop.folder, `${shape}-ctranslate2-int8`), async (output) => {
    const part = `${output}.part`
    await runCommand(workshop.python, [server('convert_ctranslate2.py'), source, part])
    await rename(part, output)
  })
}

/** llama.cpp's own converter, of the release whose libraries node-llama-cpp ships. */
export async function llamaConverter({ folder }: Workshop): Promise<string> {
  const require = createRequire(join(projectRoot, 'package.json'))
  const bundle = join(dirname(require.resolve('node-llama-cpp')), '..', 'llama', 'gitRelease.bundle')
  const clone = await once(join(folder, 'llama.cpp'), async (path) => {
    await rm(`${path}.part`, { recursive: true, force: true })
    await runCommand('git', ['clone', '--quiet', bundle, `${path}.part`])
    await rename(`${path}.part`, path)
  })
  return join(clone, 'convert_hf_to_gguf.py')
}

/** Path of a Python server. */
export function server(name: string): string {
  return join(PEERS, 'servers', name)
}

/** What is being made, so that nobody makes it a second time meanwhile. */
const making = new Map<string, Promise<void>>()

async function once(path: string, make: (path: string) => Promise<void>): Promise<string> {
  const running = making.get(path) ?? (existsSync(path) ? Promise.resolve() : make(path))
  making.set(path, running)
  await running
  return path
}
