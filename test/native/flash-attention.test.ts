import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { KERNELS } from '../../src/native/kernels.ts'
import { NativeProgram } from './program.ts'

/** The headers of ggml that the addon was built with. */
function ggmlHeaders(): string {
  const llama = join(dirname(createRequire(import.meta.url).resolve('node-llama-cpp')), '..', 'llama')
  const { tag } = JSON.parse(readFileSync(join(llama, 'llama.cpp.info.json'), 'utf8')) as { tag: string }
  const build = process.env['TANDEM_BUILD_DIRECTORY'] ?? fileURLToPath(new URL('../../build', import.meta.url))
  return join(build, `llama.cpp-${tag}`, 'include')
}

test.runIf(process.arch === 'x64' && process.platform === 'linux')(
  'fused attention is its definition for heads, masks and sinks of all kinds, whatever the number of threads',
  { timeout: 180_000 },
  async () => {
    const sets = KERNELS.filter((name) => name !== 'ggml')
    const program = await NativeProgram.compile(
      'flash_attention.cpp',
      ['engine/flash_attention.cpp', ...sets.map((name) => `kernels/${name}.cpp`)],
      { flags: ['-O1', '-mavx2', '-mfma', '-mf16c', '-pthread', '-isystem', ggmlHeaders()], include: 'emulation' },
    )
    try {
      const results = (await program.run()).split('\n')
      expect(results.map((line) => JSON.parse(line) as object)).toEqual(
        sets.map((kernels) => ({
          kernels,
          shapes: 107,
          accepted: 107,
          wronglyAccepted: 0,
          different: 0,
          error: expect.toSatisfy((error: number) => error < 1e-5),
        })),
      )
    } finally {
      await program.remove()
    }
  },
)
