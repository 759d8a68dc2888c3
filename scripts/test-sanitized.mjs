// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer, beside the ordinary build, and runs the tests
// of native code over it. Leaks are not looked for: llama.cpp and Node keep what they allocate once. Needs gcc.
import { execFileSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const build = join(root, 'build', 'sanitized')

const TESTS = [
  'test/integration/decoder.test.ts',
  'test/integration/lifecycle.test.ts',
  'test/integration/compute-threads.test.ts',
  'test/integration/hostile-models.test.ts',
  'test/integration/runtime.test.ts',
  'test/integration/quantization.test.ts',
  'test/integration/kernels.test.ts',
  'test/integration/t5-kernels.test.ts',
  'test/golden/processors.test.ts',
  'test/golden/generation-nano.test.ts',
]

execFileSync(process.execPath, [join(root, 'scripts', 'build-native.mjs'), '--sanitize'], {
  stdio: 'inherit',
  env: { ...process.env, TANDEM_BUILD_DIRECTORY: build },
})
// A sanitizer's library must come before all others, and Node itself is not linked to it.
const library = (name) => realpathSync(execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim())
execFileSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...TESTS], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    TANDEM_SANITIZED: '1',
    TANDEM_ADDON: join(build, 'Release', 'tandem.node'),
    LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
    ASAN_OPTIONS: 'detect_leaks=0',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  },
})
