import { describe, expect, it } from 'vitest'
import { requireLoadOptions } from './load-options.ts'

/** Values of every kind, of which each option takes few. */
const VALUES: unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  0,
  1,
  1.5,
  1e9,
  2 ** 53,
  '',
  '4',
  'f16',
  'a\0b',
  null,
  true,
  [],
  {},
  () => 1,
  Symbol('x'),
  10n,
  AbortSignal.abort(),
]

function accepted(name: string): unknown[] {
  return VALUES.filter((value) => {
    try {
      requireLoadOptions({ [name]: value })
      return true
    } catch (error) {
      expect(error).toMatchObject({
        name: 'TandemError',
        code: 'invalid-argument',
        message: expect.stringMatching(new RegExp(`^Bad ${name}: expected .+, received .+`, 's')),
      })
      return false
    }
  })
}

describe('load takes', () => {
  const signal = VALUES.at(-1)
  it.each([
    ['threads', [1, 1e9]],
    ['contextSize', [1, 1e9]],
    ['maxSequences', [1, 1e9]],
    ['device', ['4', 'f16']],
    ['kvType', ['f16']],
    ['quantization', ['4', 'f16']],
    ['cacheDirectory', ['4', 'f16']],
    ['onProgress', [expect.any(Function)]],
    ['signal', [signal]],
    ['generationConfig', [{}, signal]],
    ['modelDefaults', [true]],
  ])('as %s nothing but %j', (name, values) => expect(accepted(name)).toEqual(values))

  it('undefined as absent, and no other name', () => {
    expect(() => requireLoadOptions({ device: undefined })).not.toThrow()
    for (const name of ['contexSize', 'constructor', '__proto__', 'toString', '']) {
      const options: unknown = JSON.parse(JSON.stringify({ [name]: 1 }).replace('{}', '{"__proto__":1}'))
      expect(() => requireLoadOptions(options)).toThrow(/load has no such option: expected device, threads/)
    }
    for (const options of [null, 5, 'x', [], undefined]) {
      expect(() => requireLoadOptions(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    }
  })
})
