import { expect, test } from 'vitest'
import { KERNELS } from '../../src/native/kernels.ts'
import { NativeProgram } from './program.ts'

const FLAGS = ['-O1', '-mavx2', '-mfma', '-mf16c']

// What is emulated is written over AVX2, which every processor has that CI and developers use with x64.
test.runIf(process.arch === 'x64')(
  'products of absent instructions are their definition to the last bit, and attention is near it',
  { timeout: 120_000 },
  async () => {
    const sets = KERNELS.filter((name) => name !== 'ggml').map((name) => `kernels/${name}.cpp`)
    const files = ['kernels/packed_matrix.cpp', 'kernels/packed_memory.cpp', 'kernels/superblock.cpp', ...sets]
    // The files of the addon themselves, with the emulated instructions before the compiler's.
    const program = await NativeProgram.compile('emulated_kernels.cpp', files, { flags: FLAGS, include: 'emulation' })
    try {
      const results = (await program.run()).split('\n')
      expect(results.map((line) => JSON.parse(line) as object)).toEqual(
        ['avx2', 'avxvnni', 'avx512vnni'].map((kernels) => ({
          kernels,
          products: 57_280,
          different: 0,
          attentionError: expect.toSatisfy((error: number) => error < 1e-3),
        })),
      )
    } finally {
      await program.remove()
    }
  },
)
