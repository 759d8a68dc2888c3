import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tandemProgram } from '../program.ts'
import { Terminal } from '../terminal.ts'
import { ENGLISH } from '../texts/english.ts'
import { bashCompletion } from './bash.ts'
import { fishCompletion } from './fish.ts'
import { completionTree } from './tree.ts'
import { zshCompletion } from './zsh.ts'

const context = { terminal: new Terminal(process.stdout, process.stderr), signal: new AbortController().signal }
const tree = completionTree(tandemProgram(context, ENGLISH))

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tandem-completion-'))
  mkdirSync(join(folder, 'models'))
  for (const name of ['a.gguf', 'two words.gguf', 'notes.txt']) writeFileSync(join(folder, name), '')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What bash offers for the last of the words. */
function offered(...words: string[]): string[] {
  const program = `${bashCompletion(tree)}
    COMP_WORDS=(tandem "$@"); COMP_CWORD=$#; _tandem; printf '%s\\n' "\${COMPREPLY[@]}"`
  const output = execFileSync('bash', ['-c', program, 'bash', ...words], { cwd: folder, encoding: 'utf8' })
  return output.split('\n').filter(Boolean).sort()
}

describe('completion in bash', () => {
  it.each([
    [['ge'], ['generate']],
    [['--verbose', 'ge'], ['generate']],
    [['--q'], ['--quiet']],
    [
      ['generate', '--num-'],
      ['--num-beams', '--num-return-sequences'],
    ],
    [
      ['generate', '--kv-type', ''],
      ['f16', 'f32'],
    ],
    [['chat', '--search', 'co'], ['contrastive']],
    [
      ['completion', ''],
      ['bash', 'fish', 'zsh'],
    ],
    [['help', 'do'], ['doctor']],
    [['generate', '--threads', ''], []],
    [
      ['generate', '-m', 'nano'],
      ['nano-chatlm', 'nano-qwen'],
    ],
    [['doctor', '--js'], ['--json']],
  ])('%j: %j', (words, expected) => {
    expect(offered(...words)).toEqual(expected)
  })

  it('offers the embedded models, folders and GGUF files for a model', () => {
    const models = ['a.gguf', 'models', 'nano-chatlm', 'nano-qwen', 'two words.gguf']
    expect(offered('generate', '-m', '')).toEqual(models)
    expect(offered('convert', '')).toEqual(models)
    expect(offered('generate', '--input', 'n')).toEqual(['notes.txt'])
  })

  it('hides what help hides', () => {
    expect(offered('generate', '--num-beam')).toEqual(['--num-beams'])
  })
})

describe('the scripts', () => {
  it.each([
    ['bash', bashCompletion],
    ['zsh', zshCompletion],
    ['fish', fishCompletion],
  ])('of %s know every command and its options', (_shell, script) => {
    const text = script(tree)
    expect(tree.commands.length).toBeGreaterThan(7)
    for (const { name, options } of tree.commands) {
      expect(text).toContain(name)
      for (const { flags } of options) for (const flag of flags) expect(text).toContain(flag.replace(/^-+/, ''))
    }
  })
})
