import { createRequire } from 'node:module'
import { Command, Option } from 'commander'
import type { CommandContext } from './arguments.ts'
import { benchCommand } from './commands/bench.ts'
import { chatCommand } from './commands/chat.ts'
import { completionCommand } from './commands/completion.ts'
import { convertCommand } from './commands/convert.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { generateCommand } from './commands/generate.ts'
import { helpCommand } from './commands/help.ts'
import { inspectCommand } from './commands/inspect.ts'
import { templateCommand } from './commands/template.ts'
import { tokenizeCommand } from './commands/tokenize.ts'
import { addTexts, helpIn } from './help.ts'
import { hasColors, styled } from './terminal.ts'
import type { Texts } from './texts/english.ts'

/** Every command by its name, in the order in which help lists them. */
const COMMANDS: Readonly<Record<string, (command: Command, context: CommandContext) => Command>> = {
  demo: demoCommand,
  convert: convertCommand,
  generate: generateCommand,
  chat: chatCommand,
  tokenize: tokenizeCommand,
  template: templateCommand,
  inspect: inspectCommand,
  bench: benchCommand,
  doctor: doctorCommand,
  completion: completionCommand,
  help: helpCommand,
}

/** The whole command line, with the texts of a language. */
export function tandemProgram(context: CommandContext, texts: Texts): Command {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  const { terminal } = context
  const tandem = new Command('tandem')
    .version(version, '-V, --version')
    .addOption(new Option('--quiet').conflicts('verbose'))
    .option('--verbose')
    .showSuggestionAfterError()
    .helpCommand(false)
    .exitOverride()
    .configureHelp(helpIn(texts))
    .configureOutput({
      getOutHasColors: () => hasColors(terminal.out),
      getErrHasColors: () => hasColors(terminal.err),
      outputError: (text, write) => write(usageLine(text, terminal.err)),
    })
    .hook('preAction', (program) => {
      const { quiet, verbose } = program.opts<{ quiet?: boolean; verbose?: boolean }>()
      terminal.verbosity = quiet === true ? 'quiet' : verbose === true ? 'verbose' : 'normal'
    })
  for (const [name, define] of Object.entries(COMMANDS)) define(tandem.command(name), context)
  addTexts(tandem, texts)
  return tandem
}

/** Wrong usage, in the form of every other error. */
function usageLine(text: string, err: NodeJS.WriteStream): string {
  const problem = text.replace(/^error: /, '').trim()
  return `${styled(err, 'red', 'tandem:')} [usage] ${problem.replaceAll('\n', ' ')}\n`
}
