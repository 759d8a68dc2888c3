import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const src = join(root, 'src')

/** Data walks one way: a room imports from rooms of a lower rank only. docs of the ranks: CONTRIBUTING.md. */
const RANKS: Readonly<Record<string, number>> = {
  errors: 0,
  json: 0,
  formats: 1,
  hub: 1,
  native: 1,
  tokenizer: 1,
  template: 1,
  convert: 2,
  generation: 2,
  runtime: 3,
  remote: 4,
  explain: 4,
  cli: 5,
  server: 5,
}
/** Finer rules inside the ranks. */
const FORBIDDEN: readonly (readonly [from: string, to: string])[] = [
  ['generation', 'tokenizer'],
  ['generation', 'hub'],
]

function filesUnder(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

/** `errors` for src/errors.ts, else the first folder under src. */
function room(file: string): string {
  return (relative(src, file).split(sep)[0] ?? '').replace(/\.ts$/, '')
}

interface Import {
  file: string
  from: string
  to: string
}

function imports(): Import[] {
  return filesUnder(src, /\.ts$/)
    .filter((file) => !file.endsWith('.test.ts') && room(file) !== 'index')
    .flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => ({
        file: relative(root, file),
        from: room(file),
        to: room(resolve(dirname(file), match[1] ?? '')),
      })),
    )
}

describe('layering', () => {
  test('every room has a rank', () => {
    const rooms = new Set(imports().flatMap(({ from, to }) => [from, to]))
    expect([...rooms].filter((name) => !(name in RANKS))).toEqual([])
    expect(rooms.size).toBeGreaterThan(5)
  })

  test('a file imports from a lower rank or from its own room', () => {
    const wrong = imports().filter(({ from, to }) => from !== to && (RANKS[to] ?? 99) >= (RANKS[from] ?? -1))
    expect(wrong).toEqual([])
  })

  test('the finer rules hold', () => {
    const wrong = imports().filter(({ from, to }) => FORBIDDEN.some(([a, b]) => a === from && b === to))
    expect(wrong).toEqual([])
  })

  test('napi.h is included in native/bind only, and native rooms look downwards', () => {
    const lower: Record<string, string[]> = {
      bind: ['engine', 'kernels', 'sampling'],
      sampling: ['engine'],
      engine: ['kernels'],
      kernels: [],
    }
    for (const file of filesUnder(join(root, 'native'), /\.(cpp|h)$/)) {
      const from = relative(join(root, 'native'), file).split(sep)[0] ?? ''
      const text = readFileSync(file, 'utf8')
      if (from !== 'bind') expect(text, file).not.toMatch(/#include\s*<napi\.h>/)
      for (const [, to = ''] of text.matchAll(/#include\s*"(\w+)\//g)) {
        expect([from, ...(lower[from] ?? [])], file).toContain(to)
      }
    }
  })

  test('nothing is exported by default, and no room is a drawer', () => {
    const files = filesUnder(src, /\.ts$/)
    expect(files.filter((file) => /export default/.test(readFileSync(file, 'utf8')))).toEqual([])
    expect(
      files.filter((file) => /(^|[\\/])(utils?|helpers?|common|manager)(\.|[\\/])/.test(relative(src, file))),
    ).toEqual([])
  })
})
