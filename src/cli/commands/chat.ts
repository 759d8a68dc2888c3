import { readFile, writeFile } from 'node:fs/promises'
import { createInterface, type Interface } from 'node:readline'
import type { Command } from 'commander'
import { TandemError } from '../../errors.ts'
import type { Conversation } from '../../runtime/conversation.ts'
import type { GenerateOptions } from '../../runtime/language-model.ts'
import type { ChatMessage } from '../../template/messages.ts'
import {
  addEngineOptions,
  addGenerationOptions,
  type CommandContext,
  type EngineArguments,
  generationArguments,
} from '../arguments.ts'
import { jsonResult } from '../json-result.ts'
import { detailTimings, loadModel } from '../load-model.ts'
import type { Terminal } from '../terminal.ts'

interface ChatArguments extends EngineArguments {
  json?: boolean
  system?: string
}

const HELP = `/reset          begin anew; the system message stays
/system [TEXT]  say something as the system, or nothing
/save FILE      write the messages to a JSON file
/load FILE      go on from the messages of a file
/help           this list
/exit           leave (also Ctrl-D, or Ctrl-C twice)
Ctrl-C stops an answer; what it had said stays.
`

export function chatCommand(command: Command, context: CommandContext): Command {
  addGenerationOptions(addEngineOptions(command)).argument('[message...]').option('--system <text>').option('--json')
  return command.action(async (words: string[], parsed: ChatArguments) => {
    const isInteractive = words.length === 0 && process.stdin.isTTY
    if (isInteractive && parsed.json === true) {
      return command.error('error: --json needs a message; give one, or pipe one in', { exitCode: 2 })
    }
    const message = words.length > 0 ? words.join(' ') : isInteractive ? undefined : await readAll(process.stdin)
    await using model = await loadModel(parsed, context)
    const { terminal } = context
    await using conversation = model.converse({
      system: parsed.system,
      onForget: ({ length }) => terminal.notice(`the context is full; the oldest ${length} messages are forgotten`),
    })
    const options = generationArguments({ ...parsed }) as GenerateOptions
    if (message === undefined) await new InteractiveChat(conversation, options, terminal).run()
    else if (parsed.json === true) {
      const result = await conversation.send(message, { ...options, signal: context.signal })
      terminal.out.write(`${JSON.stringify({ index: 0, ...jsonResult(result) })}\n`)
      detailTimings(terminal, result)
    } else await answer(conversation, message, { ...options, signal: context.signal }, terminal)
  })
}

/** Writes one answer as it comes. */
async function answer(
  conversation: Conversation,
  message: string,
  options: GenerateOptions,
  terminal: Terminal,
): Promise<void> {
  const stream = conversation.send(message, options)
  let ends = true
  for await (const piece of stream) {
    terminal.out.write(piece)
    ends = piece.endsWith('\n')
  }
  if (!ends) terminal.out.write('\n')
  detailTimings(terminal, await stream)
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8').trimEnd()
}

/** The chat on a terminal: a line at a time, with history and line editing by readline. */
class InteractiveChat {
  readonly #conversation: Conversation
  readonly #options: GenerateOptions
  readonly #terminal: Terminal
  readonly #lines: Interface
  /** Stops the answer that is being given. */
  #answering: AbortController | undefined
  #wantsToLeave = false

  constructor(conversation: Conversation, options: GenerateOptions, terminal: Terminal) {
    this.#conversation = conversation
    this.#options = options
    this.#terminal = terminal
    this.#lines = createInterface({ input: process.stdin, output: terminal.out, prompt: '> ' })
  }

  async run(): Promise<void> {
    this.#lines.on('SIGINT', () => this.#interrupt())
    this.#terminal.hint('Ctrl-C stops an answer, twice leaves; /help lists the commands')
    this.#lines.prompt()
    for await (const line of this.#lines) {
      this.#wantsToLeave = false
      if (line.trim() === '/exit') break
      try {
        if (line.startsWith('/')) await this.#command(line.trim())
        else if (line.trim() !== '') await this.#answer(line)
      } catch (error) {
        this.#terminal.error(error)
      }
      this.#lines.prompt()
    }
    this.#lines.close()
  }

  async #answer(line: string): Promise<void> {
    this.#answering = new AbortController()
    try {
      await answer(this.#conversation, line, { ...this.#options, signal: this.#answering.signal }, this.#terminal)
    } catch (error) {
      if (!(error instanceof TandemError && error.code === 'aborted')) throw error
      this.#terminal.out.write('\n')
    } finally {
      this.#answering = undefined
    }
  }

  /** Ctrl-C: first the answer, then the chat. */
  #interrupt(): void {
    if (this.#answering !== undefined) {
      this.#answering.abort()
      return
    }
    if (this.#wantsToLeave) {
      this.#lines.close()
      return
    }
    this.#wantsToLeave = true
    this.#terminal.err.write('\n(Ctrl-C again leaves)\n')
    this.#lines.prompt()
  }

  async #command(line: string): Promise<void> {
    const [name = '', ...words] = line.split(/\s+/)
    const argument = words.join(' ')
    const commands: Record<string, () => void | Promise<void>> = {
      '/reset': () => this.#conversation.restart(),
      '/system': () => {
        this.#conversation.system = argument === '' ? undefined : argument
      },
      '/save': () => saveMessages(requirePath(argument), this.#conversation.messages),
      '/load': async () => this.#conversation.restart(await readMessages(requirePath(argument))),
      '/help': () => {
        this.#terminal.err.write(HELP)
      },
    }
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (command === undefined) {
      throw new TandemError('invalid-argument', `There is no command ${name}`, {
        expected: [...Object.keys(commands), '/exit'].join(', '),
      })
    }
    await command()
  }
}

function requirePath(path: string): string {
  if (path !== '') return path
  throw new TandemError('invalid-argument', 'The command needs a file', { expected: 'a path' })
}

async function saveMessages(path: string, messages: readonly ChatMessage[]): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify(messages, null, 2)}\n`)
  } catch (cause) {
    throw new TandemError('io', `${path} cannot be written`, { received: (cause as Error).message, cause })
  }
}

async function readMessages(path: string): Promise<ChatMessage[]> {
  try {
    const messages: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (Array.isArray(messages) && messages.every(isMessage)) return messages
  } catch (cause) {
    throw new TandemError('io', `${path} cannot be read`, { received: (cause as Error).message, cause })
  }
  throw new TandemError('invalid-file', `${path} holds no messages`, { expected: 'a JSON list of {role, content}' })
}

function isMessage(value: unknown): value is ChatMessage {
  const { role, content } = (value ?? {}) as { role?: unknown; content?: unknown }
  return typeof role === 'string' && typeof content === 'string'
}
