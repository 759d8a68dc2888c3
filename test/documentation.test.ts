import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const SOURCES = new URL('../src/', import.meta.url)

/** A declaration at the beginning of a line: its first word is what it declares. */
const DECLARATION = /^export (?:declare )?(?:abstract )?(?:async )?(class|interface|type|function|const) (\w+)/

/** A member of a class or interface, two spaces in; private ones and constructors have no readers outside. */
const MEMBER = /^ {2}(?:static |readonly |abstract |override |async |get |set )*(\w+|\[key: string\])[?]?[(:<]/

/** Results of the options whose names they have, and documented there. */
const DOCUMENTED_ELSEWHERE = ['GenerationConfig']

interface Declaration {
  name: string
  kind: string
  docstring: string
  /** Members without a docstring. */
  undocumented: string[]
  members: Map<string, string>
}

/** Lines of the comment that ends just before a line. */
function docstringAbove(lines: readonly string[], at: number): string {
  let begin = at - 1
  if (!lines[begin]?.trimEnd().endsWith('*/')) return ''
  while (begin > 0 && !lines[begin]?.trimStart().startsWith('/**')) begin--
  return lines.slice(begin, at).join('\n')
}

function declarationIn(file: string, name: string): Declaration | undefined {
  const lines = readFileSync(new URL(file, SOURCES), 'utf8').split('\n')
  const at = lines.findIndex((line) => DECLARATION.exec(line)?.[2] === name)
  if (at < 0) return reexported(lines, file, name)
  const kind = DECLARATION.exec(lines[at] ?? '')?.[1] ?? ''
  const members = new Map<string, string>()
  // What implements an interface has its members' docstrings from there: editors show them.
  const isDocumentedHere =
    kind === 'interface' || (kind === 'class' && !/ implements (?!AsyncDisposable)/.test(lines[at] ?? ''))
  const end = isDocumentedHere ? lines.indexOf('}', at) : at
  for (let line = at + 1; line < end; line++) {
    const [, member] = MEMBER.exec(lines[line] ?? '') ?? []
    if (member !== undefined && member !== 'constructor') members.set(member, docstringAbove(lines, line))
  }
  const undocumented = [...members].filter(([, docstring]) => docstring === '').map(([member]) => `${name}.${member}`)
  return { name, kind, docstring: docstringAbove(lines, at), undocumented, members }
}

/** A file may pass on what another declares. */
function reexported(lines: readonly string[], file: string, name: string): Declaration | undefined {
  const pattern = new RegExp(`export (?:type )?\\{[^}]*\\b${name}\\b[^}]*\\} from '([^']+)'`)
  const from = pattern.exec(lines.join('\n'))?.[1]
  return from === undefined ? undefined : declarationIn(new URL(from, new URL(file, SOURCES)).href, name)
}

const index = readFileSync(new URL('index.ts', SOURCES), 'utf8')
const exported = [...index.matchAll(/export (?:type )?\{([^}]*)\} from '([^']+)'/g)].flatMap(
  ([, names = '', file = '']) =>
    names
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter((name) => name !== '')
      .map((name) => ({ name, declaration: declarationIn(file, name) })),
)
const declared = (name: string) => exported.find((one) => one.name === name)?.declaration

describe('what the package exports', () => {
  it('is found by this test, all of it', async () => {
    const library = await import(fileURLToPath(new URL('index.ts', SOURCES)))
    const values = exported.filter(({ declaration }) => /class|function|const/.test(declaration?.kind ?? ''))
    expect(values.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(library)))
    expect(exported.filter(({ declaration }) => declaration === undefined)).toEqual([])
    expect(exported.length).toBeGreaterThan(50)
    expect(declared('GenerativeModel')?.members.size).toBeGreaterThan(10)
    expect(declared('TandemError')?.members.size).toBeGreaterThan(4)
  })

  it('has a docstring, each symbol and each member', () => {
    const symbols = exported.filter(({ declaration }) => declaration?.docstring === '').map(({ name }) => name)
    const members = exported
      .filter(({ name }) => !DOCUMENTED_ELSEWHERE.includes(name))
      .flatMap(({ declaration }) => declaration?.undocumented ?? [])
    expect([...symbols, ...members]).toEqual([])
  })

  it('shows an example of every call that a program begins with', () => {
    const functions = ['load', 'convert', 'inspect', 'diagnose', 'startEngine', 'connectEngine', 'applyChatTemplate']
    for (const name of functions) expect(declared(name)?.docstring, name).toContain('@example')
    for (const name of ['generate', 'stream', 'chat', 'converse', 'tokenize']) {
      expect(declared('GenerativeModel')?.members.get(name), name).toContain('@example')
    }
  })
})
