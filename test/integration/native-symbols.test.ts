import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ADDON = fileURLToPath(new URL('../../build/Release/tandem.node', import.meta.url))

// A symbol of llama.cpp that is left undefined would bind to whichever copy of it the process maps first.
test.runIf(process.platform === 'linux')('the addon has no undefined symbol of llama.cpp', () => {
  const symbols = execFileSync('nm', ['--dynamic', '--undefined-only', ADDON], { encoding: 'utf8' })
  expect(symbols).toMatch(/napi_/)
  expect(symbols.match(/\b(ggml|gguf|llama)_\w+/g)).toBeNull()
})
