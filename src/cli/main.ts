#!/usr/bin/env node
import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import type { CommandContext } from './arguments.ts'
import { chatCommand } from './commands/chat.ts'
import { convertCommand } from './commands/convert.ts'
import { demoCommand } from './commands/demo.ts'
import { generateCommand } from './commands/generate.ts'
import { inspectCommand } from './commands/inspect.ts'
import { templateCommand } from './commands/template.ts'
import { tokenizeCommand } from './commands/tokenize.ts'
import { errorLine } from './ui.ts'

/** What a shell reports for a program that SIGINT ended. */
const INTERRUPTED = 130

const interruption = new AbortController()
const context: CommandContext = {
  terminal: { out: process.stdout, err: process.stderr },
  signal: interruption.signal,
}

// The first Ctrl-C lets the command end what it does; the second does not wait.
process.on('SIGINT', () => {
  if (interruption.signal.aborted) process.exit(INTERRUPTED)
  interruption.abort()
})
// `tandem … | head` closes the pipe early, which is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.stderr.write(`tandem: [io] The output cannot be written: ${error.message}\n`)
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})
process.stderr.on('error', () => process.exit(1))

try {
  await program(context).parseAsync()
} catch (error) {
  report(error)
}

function program(shared: CommandContext): Command {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  const tandem = new Command('tandem')
    .description('Run Hugging Face encoder-decoder and chat models on this computer')
    .version(version, '-V, --version')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(
          `tandem: [usage] ${text
            .replace(/^error: /, '')
            .trim()
            .replaceAll('\n', ' ')}\n`,
        ),
    })
  demoCommand(tandem.command('demo'), shared)
  convertCommand(tandem.command('convert'), shared)
  generateCommand(tandem.command('generate'), shared)
  chatCommand(tandem.command('chat'), shared)
  tokenizeCommand(tandem.command('tokenize'), shared)
  templateCommand(tandem.command('template'), shared)
  inspectCommand(tandem.command('inspect'), shared)
  return tandem
}

/** One line for people and the exit code for programs: 2 for wrong usage, 130 after Ctrl-C, else 1. */
function report(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
    return
  }
  if (interruption.signal.aborted) {
    if (process.stdout.isTTY) process.stdout.write('\n')
    process.exitCode = INTERRUPTED
    return
  }
  process.stderr.write(`${errorLine(error)}\n`)
  process.exitCode = 1
}
