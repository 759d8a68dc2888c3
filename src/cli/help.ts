import { stripVTControlCharacters } from 'node:util'
import type { Argument, Command, Help, Option } from 'commander'
import { styled } from './terminal.ts'
import type { Texts } from './texts/english.ts'
import { displayWidth } from './ui.ts'

/** The texts that a command has. */
interface CommandTexts {
  description: string
  arguments: Readonly<Record<string, string>>
  options: Readonly<Record<string, string>>
  examples: Readonly<Record<string, string>>
}

/** Gives a command and those below it the texts of a language; options without one are hidden. */
export function addTexts(program: Command, texts: Texts): void {
  const shared: Readonly<Record<string, string>> = texts.options
  const commands: Readonly<Record<string, CommandTexts>> = texts.commands
  program.description(texts.description).helpOption('-h, --help', texts.options.help)
  describeOptions(program.options, shared)
  for (const command of program.commands) {
    const own = commands[command.name()]
    command.helpOption('-h, --help', texts.options.help)
    describeOptions(command.options, { ...shared, ...own?.options })
    if (own === undefined) continue
    command.description(own.description)
    describeArguments(command.registeredArguments, own.arguments)
    command.addHelpText('after', ({ error }) =>
      examples(own, texts.headings['Examples:'], error ? process.stderr : process.stdout),
    )
  }
}

function describeOptions(options: readonly Option[], texts: Readonly<Record<string, string>>): void {
  for (const option of options) {
    option.description = texts[option.attributeName()] ?? option.description
    if (option.description === '') option.hideHelp()
  }
}

function describeArguments(list: readonly Argument[], texts: Readonly<Record<string, string>>): void {
  for (const argument of list) argument.description = texts[argument.name()] ?? argument.description
}

function examples({ examples }: CommandTexts, heading: string, stream: NodeJS.WriteStream): string {
  const lines = Object.entries(examples)
  if (lines.length === 0) return ''
  const shown = lines.map(([line, what]) => `  ${line}\n      ${styled(stream, 'dim', what)}`)
  return `\n${styled(stream, 'bold', heading)}\n${shown.join('\n')}`
}

/** How commander writes help in a language. */
export function helpIn(texts: Texts): Partial<Help> {
  const headings: Readonly<Record<string, string>> = texts.headings
  return {
    showGlobalOptions: true,
    styleTitle: (title) => styled(process.stdout, 'bold', headings[title] ?? title),
    displayWidth: (text) => displayWidth(stripVTControlCharacters(text)),
    optionDescription: (option) => withFacts(option.description, option, texts),
    argumentDescription: (argument) => withFacts(argument.description, argument, texts),
    boxWrap: (text, width) => wrapped(text, width).join('\n'),
  }
}

/** A description with what is known of the values. */
function withFacts(description: string, { argChoices, defaultValue }: Option | Argument, texts: Texts): string {
  const facts = [
    argChoices === undefined ? undefined : `${texts.choices}: ${argChoices.join(', ')}`,
    defaultValue === undefined || typeof defaultValue === 'boolean' ? undefined : `${texts.default}: ${defaultValue}`,
  ].filter((fact) => fact !== undefined)
  return facts.length === 0 ? description : `${description} (${facts.join('; ')})`
}

/** Lines of at most `width` columns, broken at spaces and between ideographs. Indented lines stay as they are. */
function wrapped(text: string, width: number): string[] {
  if (width < MIN_WIDTH) return [text]
  const lines: string[] = []
  let line = ''
  for (const piece of text.split(/(?<=\s)|(?<=[\u3000-\u9FFF\uFF00-\uFF60])(?![、，。；：）])/)) {
    if (line !== '' && displayWidth(`${line}${piece}`.trimEnd()) > width) {
      lines.push(line.trimEnd())
      line = ''
    }
    line += piece
  }
  return [...lines, line]
}

/** In fewer columns a list is easier to read unbroken. */
const MIN_WIDTH = 30
