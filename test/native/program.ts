import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = fileURLToPath(new URL('.', import.meta.url))
const native = fileURLToPath(new URL('../../native', import.meta.url))

/** A C++ program of this folder with files of the addon, outside of Node. */
export class NativeProgram {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Compiles `source` of this folder and `files` of `native/`; what is in `include` shadows the compiler's headers. */
  static async compile(source: string, files: readonly string[], options: { flags?: string[]; include?: string } = {}) {
    const program = new NativeProgram(await mkdtemp(join(tmpdir(), 'tandem-native-')))
    const include = options.include === undefined ? [] : ['-I', join(here, options.include)]
    const sources = [join(here, source), ...files.map((file) => join(native, file))]
    const flags = ['-std=c++17', '-Wall', '-Wextra', '-Werror', ...(options.flags ?? []), ...include, '-I', native]
    await run(process.env['CXX'] ?? 'c++', [...flags, ...sources, '-o', program.#path])
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
