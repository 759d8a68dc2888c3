import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { GENERATION_OPTION_NAMES } from '../generation/resolve.ts'
import { tandemProgram } from './program.ts'
import { Terminal } from './terminal.ts'
import { CHINESE } from './texts/chinese.ts'
import { ENGLISH, type Texts } from './texts/english.ts'
import { displayWidth } from './ui.ts'

beforeAll(() => void vi.stubEnv('FORCE_COLOR', '0'))
afterAll(() => void vi.unstubAllEnvs())

function program(texts: Texts): Command {
  const terminal = new Terminal(process.stdout, process.stderr)
  return tandemProgram({ terminal, signal: new AbortController().signal }, texts)
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => 80 })
  command.outputHelp()
  return text
}

describe.each([
  ['English', ENGLISH],
  ['Chinese', CHINESE],
])('help in %s', (_name, texts) => {
  it('describes every command and every argument', () => {
    for (const command of program(texts).commands) {
      expect(command.description(), command.name()).not.toBe('')
      for (const argument of command.registeredArguments) expect(argument.description, command.name()).not.toBe('')
    }
  })

  it('describes every option but those of generation that are refused', () => {
    for (const command of program(texts).commands) {
      const undescribed = command.options.filter(({ description }) => description === '')
      for (const option of undescribed) {
        expect(option.hidden, option.long).toBe(true)
        expect(GENERATION_OPTION_NAMES, command.name()).toContain(option.attributeName())
      }
    }
  })

  it('has no text for what does not exist', () => {
    const { commands } = program(texts)
    const known = new Map(
      commands.map((command) => [command.name(), command.options.map((one) => one.attributeName())]),
    )
    expect(Object.keys(texts.commands).sort()).toEqual([...known.keys()].sort())
    for (const [name, { options }] of Object.entries(texts.commands)) {
      expect(known.get(name), name).toEqual(expect.arrayContaining(Object.keys(options)))
    }
    const all = new Set([...known.values(), 'help', 'version', 'quiet', 'verbose'].flat())
    expect(Object.keys(texts.options).filter((name) => !all.has(name))).toEqual([])
  })

  it('shows headings, examples and what every command can do', () => {
    const { commands } = program(texts)
    for (const command of commands) {
      const text = helpOf(command)
      expect(text).toContain(`${texts.headings['Usage:']} tandem ${command.name()}`)
      expect(text).toContain(texts.options.quiet)
      if (command.name() !== 'help') expect(text).toContain(`\n${texts.headings['Examples:']}\n  `)
    }
  })

  it('keeps descriptions within the terminal', () => {
    const lines = helpOf(program(texts)).split('\n')
    expect(lines.length).toBeGreaterThan(15)
    for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(80)
  })
})

it('says in Chinese whatever commander says by itself', () => {
  const convert = program(CHINESE).commands.find((command) => command.name() === 'convert')
  const text = convert === undefined ? '' : helpOf(convert)
  expect(text).toContain('默认: q8_0')
  expect(text).not.toMatch(/Usage|Options|Commands|Arguments|default|choices|display help|output the version/)
})
