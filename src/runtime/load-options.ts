import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import type { LoadOptions } from './load.ts'

/** What TypeScript checks for its own callers, for all the others: of which kind each option is. */
const RULES: Readonly<Record<keyof LoadOptions, { expected: string; accepts: (value: unknown) => boolean }>> = {
  device: { expected: 'auto, cpu, cuda, vulkan, metal or the name of a device', accepts: isText },
  threads: { expected: 'an integer above 0', accepts: isCount },
  contextSize: { expected: 'an integer above 0', accepts: isCount },
  maxSequences: { expected: 'an integer above 0', accepts: isCount },
  kvType: { expected: "'f32' or 'f16'", accepts: (value) => value === 'f32' || value === 'f16' },
  quantization: { expected: 'the name of a type', accepts: isText },
  cacheDirectory: { expected: 'the path of a folder', accepts: isText },
  onProgress: { expected: 'a function', accepts: (value) => typeof value === 'function' },
  signal: { expected: 'an AbortSignal', accepts: isSignal },
  generationConfig: { expected: 'an object, as a generation_config.json holds', accepts: isPlainObject },
  modelDefaults: { expected: 'true or false', accepts: (value) => typeof value === 'boolean' },
}

/**
 * Refuses what no option is, before a model is looked for: a name that does not exist would silently do nothing.
 * Undefined counts as absent.
 * @throws TandemError `invalid-argument`
 */
export function requireLoadOptions(options: unknown): asserts options is LoadOptions {
  if (!isPlainObject(options)) throw wrong('The options of load are wrong', 'an object', options)
  for (const [name, value] of Object.entries(options)) {
    if (!isOption(name)) throw wrong('load has no such option', Object.keys(RULES).join(', '), name)
    const { expected, accepts } = RULES[name]
    if (value !== undefined && !accepts(value)) throw wrong(`Bad ${name}`, expected, value)
  }
}

function isOption(name: string): name is keyof LoadOptions {
  return Object.hasOwn(RULES, name)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && !value.includes('\0')
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return 'aborted' in value && 'addEventListener' in value && typeof value.addEventListener === 'function'
}

function wrong(problem: string, expected: string, received: unknown): TandemError {
  return new TandemError('invalid-argument', problem, { expected, received: inspect(received, { depth: 1 }) })
}
