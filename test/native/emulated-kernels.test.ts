import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KERNELS } from '../../src/native/kernels.ts'
import { NativeObjects, NativeProgram } from './program.ts'

const SETS = KERNELS.filter((name) => name !== 'ggml')
const FILES = [
  // The largest first: they are compiled beside each other.
  ...SETS.map((name) => `kernels/${name}.cpp`).reverse(),
  'kernels/packed_matrix.cpp',
  'kernels/packed_memory.cpp',
  'kernels/superblock.cpp',
]

/** The headers of ggml that the addon was built with. */
function ggmlHeaders(): string {
  const llama = join(dirname(createRequire(import.meta.url).resolve('node-llama-cpp')), '..', 'llama')
  const { tag } = JSON.parse(readFileSync(join(llama, 'llama.cpp.info.json'), 'utf8')) as { tag: string }
  const build = process.env['TANDEM_BUILD_DIRECTORY'] ?? fileURLToPath(new URL('../../build', import.meta.url))
  return join(build, `llama.cpp-${tag}`, 'include')
}

// The files of the addon themselves, with the emulated instructions before the compiler's.
const OPTIONS = { flags: ['-O1', '-mavx2', '-mfma', '-mf16c'], include: 'emulation' }

// What is emulated is written over AVX2, which every processor has that CI and developers use with x64.
describe.runIf(process.arch === 'x64')('kernels of absent instructions', () => {
  let objects: NativeObjects | undefined
  beforeAll(async () => {
    objects = await NativeObjects.compile(FILES, OPTIONS)
  }, 300_000)
  afterAll(() => objects?.remove())

  /** A line of JSON for each set of kernels. */
  async function resultsOf(source: string, files: readonly string[] = [], flags: readonly string[] = []) {
    const options = { ...OPTIONS, flags: [...OPTIONS.flags, ...flags] }
    const program = await NativeProgram.compile(source, [...(objects?.paths ?? []), ...files], options)
    try {
      return (await program.run()).split('\n').map((line) => JSON.parse(line) as object)
    } finally {
      await program.remove()
    }
  }

  test('products are their definition to the last bit, and attention is near it', { timeout: 120_000 }, async () => {
    expect(await resultsOf('emulated_kernels.cpp')).toEqual(
      ['avx2', 'avxvnni', 'avx512vnni'].map((kernels) => ({
        kernels,
        products: 115_328,
        different: 0,
        wronglyFinite: 0,
        attentionError: expect.toSatisfy((error: number) => error < 1e-3),
      })),
    )
  })

  test.runIf(process.platform === 'linux')(
    'fused attention is its definition for heads, masks and sinks of all kinds, whatever the number of threads',
    { timeout: 180_000 },
    async () => {
      const flags = ['-pthread', '-isystem', ggmlHeaders()]
      expect(
        await resultsOf('flash_attention.cpp', ['engine/flash_attention.cpp', 'engine/attender.cpp'], flags),
      ).toEqual(
        SETS.map((kernels) => ({
          kernels,
          shapes: 107,
          accepted: 107,
          wronglyAccepted: 0,
          different: 0,
          error: expect.toSatisfy((error: number) => error < 1e-5),
        })),
      )
    },
  )
})
