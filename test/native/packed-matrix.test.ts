import { expect, test } from 'vitest'
import { NativeProgram } from './program.ts'

test('any part of a packed matrix can be read and replaced as the file has it', { timeout: 120_000 }, async () => {
  const files = ['kernels/packed_matrix.cpp', 'kernels/packed_memory.cpp', 'kernels/superblock.cpp']
  const program = await NativeProgram.compile('packed_matrix.cpp', files, {
    flags: ['-O1', '-fsanitize=address,undefined'],
  })
  try {
    expect(JSON.parse(await program.run())).toEqual({ matrices: 155, different: 0 })
  } finally {
    await program.remove()
  }
})
