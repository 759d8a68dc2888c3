import type { Command } from 'commander'
import { TandemError } from '../../errors.ts'
import { encodeChat } from '../../runtime/chat-prompt.ts'
import { type ChatFormat, readChatFormat } from '../../runtime/converted-model.ts'
import { locateModel } from '../../runtime/locate.ts'
import type { ChatMessage } from '../../template/messages.ts'
import type { CommandContext } from '../arguments.ts'
import { type InputLine, inputLines } from '../requests.ts'
import { errorObject } from '../terminal.ts'

interface TemplateArguments {
  model: string
  system?: string
  input?: string
  json?: boolean
}

export function templateCommand(command: Command, { terminal, signal }: CommandContext): Command {
  return command
    .argument('[message...]')
    .requiredOption('-m, --model <model>')
    .option('--system <text>')
    .option('--input <file>')
    .option('--json')
    .action(async (texts: string[], parsed: TemplateArguments) => {
      if (texts.length === 0 && parsed.input === undefined) {
        return command.error('error: there is nothing to render; give a message or --input', { exitCode: 2 })
      }
      const format = await readChatFormat(await locateModel(parsed.model))
      await using _tokenizer = format.tokenizer
      for await (const line of inputLines({ texts, key: 'message', input: parsed.input, signal })) {
        const head = { index: line.index, ...(line.id === undefined ? {} : { id: line.id }) }
        try {
          const { text, inputIds } = await render(format, line, parsed.system)
          terminal.out.write(parsed.json === true ? `${JSON.stringify({ ...head, text, inputIds })}\n` : `${text}\n`)
        } catch (error) {
          if (parsed.json === true) terminal.out.write(`${JSON.stringify({ ...head, error: errorObject(error) })}\n`)
          else terminal.error(error)
          process.exitCode = 1
        }
      }
    })
}

async function render(format: ChatFormat, { failure, fields }: InputLine, system: string | undefined) {
  if (failure !== undefined) throw failure
  const { message, messages, tools, addGenerationPrompt = true } = fields
  if (typeof addGenerationPrompt !== 'boolean' || (tools !== undefined && !Array.isArray(tools))) {
    throw new TandemError('invalid-argument', 'A line of input has a bad value', {
      expected: 'add_generation_prompt true or false, and tools a list',
    })
  }
  const said = message === undefined ? messages : [{ role: 'user', content: message }]
  const chat = system === undefined ? said : [{ role: 'system', content: system }, ...[said ?? []].flat()]
  return encodeChat(chat as ChatMessage[], { addGenerationPrompt, tools: tools as object[] | undefined }, format)
}
