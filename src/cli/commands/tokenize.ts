import type { Command } from 'commander'
import { TandemError } from '../../errors.ts'
import { readTokenizer } from '../../runtime/converted-model.ts'
import { locateModel } from '../../runtime/locate.ts'
import type { TextTokenizer } from '../../tokenizer/text-tokenizer.ts'
import type { CommandContext } from '../arguments.ts'
import { type InputLine, inputLines } from '../requests.ts'
import { errorObject } from '../terminal.ts'
import { label } from '../ui.ts'

interface TokenizeArguments {
  model: string
  input?: string
  json?: boolean
  decode?: boolean
  appendEos?: boolean
}

export function tokenizeCommand(command: Command, { terminal, signal }: CommandContext): Command {
  return command
    .argument('[text...]')
    .requiredOption('-m, --model <model>')
    .option('--input <file>')
    .option('--json')
    .option('--decode')
    .option('--append-eos')
    .action(async (texts: string[], parsed: TokenizeArguments) => {
      if (texts.length === 0 && parsed.input === undefined) {
        return command.error('error: there is nothing to tokenize; give a text or --input', { exitCode: 2 })
      }
      await using tokenizer = await readTokenizer(await locateModel(parsed.model))
      // On a command line the ids of one text are many arguments.
      const inputs = parsed.decode === true && texts.length > 0 ? [texts.join(' ')] : texts
      const key = parsed.decode === true ? 'ids' : 'prompt'
      for await (const line of inputLines({ texts: inputs, key, input: parsed.input, signal })) {
        try {
          terminal.out.write(await answer(tokenizer, line, parsed))
        } catch (error) {
          const head = { index: line.index, ...(line.id === undefined ? {} : { id: line.id }) }
          if (parsed.json === true) terminal.out.write(`${JSON.stringify({ ...head, error: errorObject(error) })}\n`)
          else terminal.error(error)
          process.exitCode = 1
        }
      }
    })
}

async function answer(tokenizer: TextTokenizer, line: InputLine, parsed: TokenizeArguments): Promise<string> {
  if (line.failure !== undefined) throw line.failure
  const head = { index: line.index, ...(line.id === undefined ? {} : { id: line.id }) }
  if (parsed.decode === true) {
    const ids = idsOf(line.fields['ids'] ?? line.fields['inputIds'])
    const text = tokenizer.decode(ids, { skipSpecialTokens: true })
    const textWithSpecialTokens = tokenizer.decode(ids)
    return `${parsed.json === true ? JSON.stringify({ ...head, text, textWithSpecialTokens }) : text}\n`
  }
  const text = line.fields['prompt'] ?? line.fields['text']
  const encoded = await tokenizer.encode(text as string, { appendEos: parsed.appendEos === true })
  if (parsed.json === true) return `${JSON.stringify({ ...head, ...encoded })}\n`
  if (encoded.inputIds.length === 0) return 'no tokens\n'
  return encoded.inputIds
    .map(
      (id, i) =>
        `${label(String(id), 6)}${label(encoded.tokens[i] ?? '', 12)}${JSON.stringify(tokenizer.decode([id]))}\n`,
    )
    .join('')
}

/** A list of numbers, or the words of a command line. */
function idsOf(value: unknown): number[] {
  const ids =
    typeof value === 'string'
      ? value
          .split(/[\s,]+/)
          .filter(Boolean)
          .map(Number)
      : value
  if (Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id) && id >= 0)) return ids as number[]
  throw new TandemError('invalid-argument', 'There are no ids to decode', {
    expected: 'a list of integers of at least 0',
    received: JSON.stringify(value) ?? 'none',
  })
}
