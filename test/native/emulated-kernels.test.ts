import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { KERNELS } from '../../src/native/kernels.ts'

const run = promisify(execFile)
const here = fileURLToPath(new URL('.', import.meta.url))
const native = fileURLToPath(new URL('../../native', import.meta.url))
const OPTIONS = ['-std=c++17', '-O1', '-Wall', '-Wextra', '-Werror', '-mavx2', '-mfma', '-mf16c']

/** The files of the addon themselves, with the emulated instructions before the compiler's. */
async function build(folder: string): Promise<string> {
  const program = join(folder, 'emulated-kernels')
  const sources = KERNELS.filter((name) => name !== 'ggml').map((name) => join(native, `kernels/${name}.cpp`))
  await run(process.env['CXX'] ?? 'c++', [
    ...OPTIONS,
    '-I',
    join(here, 'emulation'),
    '-I',
    native,
    join(here, 'emulated_kernels.cpp'),
    join(native, 'kernels/packed_matrix.cpp'),
    join(native, 'kernels/packed_memory.cpp'),
    ...sources,
    '-o',
    program,
  ])
  return program
}

// What is emulated is written over AVX2, which every processor has that CI and developers use with x64.
test.runIf(process.arch === 'x64')(
  'products of absent instructions are their definition to the last bit, and attention is near it',
  { timeout: 120_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-emulated-'))
    try {
      const { stdout } = await run(await build(folder), [])
      const results = stdout.trim().split('\n')
      expect(results.map((line) => JSON.parse(line) as object)).toEqual(
        ['avx2', 'avxvnni', 'avx512vnni'].map((kernels) => ({
          kernels,
          products: 13_564,
          different: 0,
          attentionError: expect.toSatisfy((error: number) => error < 1e-3),
        })),
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)
