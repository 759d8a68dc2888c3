import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = fileURLToPath(new URL('.', import.meta.url))
const native = fileURLToPath(new URL('../../native', import.meta.url))

interface CompilerOptions {
  flags?: string[]
  /** A folder of this one that shadows the compiler's headers. */
  include?: string
}

async function compile(parameters: readonly string[], { flags = [], include }: CompilerOptions): Promise<void> {
  const shadow = include === undefined ? [] : ['-I', join(here, include)]
  const all = ['-std=c++17', '-Wall', '-Wextra', '-Werror', ...flags, ...shadow, '-I', native, ...parameters]
  await run(process.env['CXX'] ?? 'c++', all)
}

/** Files of the addon, compiled once for several programs. */
export class NativeObjects {
  readonly #folder: string
  readonly paths: readonly string[]

  private constructor(folder: string, paths: readonly string[]) {
    this.#folder = folder
    this.paths = paths
  }

  /** Compiles `files` of `native/` beside each other. */
  static async compile(files: readonly string[], options: CompilerOptions): Promise<NativeObjects> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-native-'))
    const objects = new NativeObjects(
      folder,
      files.map((_, i) => join(folder, `${i}.o`)),
    )
    await Promise.all(
      files.map((file, i) => compile(['-c', join(native, file), '-o', join(folder, `${i}.o`)], options)),
    )
    return objects
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A C++ program of this folder with files of the addon, outside of Node. */
export class NativeProgram {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Compiles `source` of this folder with `files`: those of `native/`, and objects where they lie. */
  static async compile(source: string, files: readonly string[], options: CompilerOptions = {}) {
    const program = new NativeProgram(await mkdtemp(join(tmpdir(), 'tandem-native-')))
    const inputs = files.map((file) => resolve(native, file))
    await compile([join(here, source), ...inputs, '-o', program.#path], options)
    return program
  }

  get #path(): string {
    return join(this.#folder, 'program')
  }

  /** What it writes to its output. */
  async run(parameters: readonly string[] = [], input = ''): Promise<string> {
    const running = run(this.#path, parameters)
    running.child.stdin?.end(input)
    return (await running).stdout.trim()
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}
