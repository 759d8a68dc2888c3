#!/usr/bin/env node
import { CommanderError } from 'commander'
import { tandemProgram } from './program.ts'
import { Terminal } from './terminal.ts'
import { textsFor } from './texts/language.ts'

/** What a shell reports for a program that SIGINT ended. */
const INTERRUPTED = 130

const interruption = new AbortController()
const terminal = new Terminal(process.stdout, process.stderr)

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

const program = tandemProgram({ terminal, signal: interruption.signal }, textsFor())
try {
  // Commander writes the help to stderr and fails when there is nothing to do; whoever only asks should get an answer.
  if (process.argv.length === 2) program.outputHelp()
  else await program.parseAsync()
} catch (error) {
  report(error)
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
  terminal.error(error)
  process.exitCode = 1
}
