import type { Command } from 'commander'
import { TandemError } from '../../errors.ts'
import type { GenerationInput } from '../../runtime/input.ts'
import type { GenerateOptions, LanguageModel } from '../../runtime/language-model.ts'
import {
  addEngineOptions,
  addGenerationOptions,
  type CommandContext,
  type EngineArguments,
  generationArguments,
} from '../arguments.ts'
import { BeamDisplay } from '../beam-display.ts'
import { jsonResult } from '../json-result.ts'
import { detailTimings, loadModel } from '../load-model.ts'
import { type InputLine, inputLines } from '../requests.ts'
import { errorObject, type Terminal } from '../terminal.ts'

interface GenerateArguments extends EngineArguments {
  input?: string
  json?: boolean
  appendEos?: boolean
}

const INPUT_KEYS = ['prompt', 'inputIds', 'messages'] as const

export function generateCommand(command: Command, context: CommandContext): Command {
  addGenerationOptions(addEngineOptions(command))
    .argument('[text...]')
    .option('--input <file>')
    .option('--json')
    .option('--append-eos')
  return command.action(async (texts: string[], parsed: GenerateArguments) => {
    if (texts.length === 0 && parsed.input === undefined) {
      return command.error('error: there is nothing to generate from; give a text or --input', { exitCode: 2 })
    }
    await using model = await loadModel(parsed, context)
    const lines = inputLines({ texts, key: 'prompt', input: parsed.input, signal: context.signal })
    await answerAll(model, lines, parsed, {
      ...context,
      streams: texts.length === 1 && parsed.input === undefined,
    })
  })
}

/** Answers the lines in their order; one that fails does not keep the others from being answered. */
async function answerAll(
  model: LanguageModel,
  lines: AsyncIterable<InputLine>,
  parsed: GenerateArguments,
  { terminal, signal, streams }: CommandContext & { streams: boolean },
): Promise<void> {
  const { out } = terminal
  for await (const line of lines) {
    const head = { index: line.index, ...(line.id === undefined ? {} : { id: line.id }) }
    try {
      const { input, options } = request(line, parsed)
      if (parsed.json === true) {
        const result = await model.generate(input, { ...options, signal })
        out.write(`${JSON.stringify({ ...head, ...jsonResult(result) })}\n`)
        detailTimings(terminal, result)
      } else if (streams) await streamText(model, input, { ...options, signal }, terminal)
      else {
        const result = await model.generate(input, { ...options, signal })
        for (const { text } of result.sequences) out.write(`${text}\n`)
        detailTimings(terminal, result)
      }
    } catch (error) {
      if (signal.aborted) throw error
      if (parsed.json === true) out.write(`${JSON.stringify({ ...head, error: errorObject(error) })}\n`)
      else terminal.error(error)
      process.exitCode = 1
    }
  }
}

/** The first text as it comes, beams while they run, and then the other texts. */
async function streamText(
  model: LanguageModel,
  input: GenerationInput,
  options: GenerateOptions,
  terminal: Terminal,
): Promise<void> {
  const { out } = terminal
  const beams = new BeamDisplay(terminal.canvas)
  const stream = model.stream(input, { ...options, onStep: beams.show })
  try {
    for await (const piece of stream) {
      beams.end()
      out.write(piece)
    }
  } finally {
    beams.end()
  }
  const result = await stream
  out.write('\n')
  for (const { text } of result.sequences.slice(1)) out.write(`${text}\n`)
  detailTimings(terminal, result)
}

/** The input and the options of one line; its own options go before those of the command line. */
function request(line: InputLine, parsed: GenerateArguments): { input: GenerationInput; options: GenerateOptions } {
  if (line.failure !== undefined) throw line.failure
  const { prompt, inputIds, messages, attentionMask, ...options } = line.fields
  const given = INPUT_KEYS.filter((key) => line.fields[key] !== undefined && line.fields[key] !== null)
  if (given.length !== 1) {
    throw new TandemError('invalid-argument', 'A line of input needs one thing to generate from', {
      expected: `one of ${INPUT_KEYS.join(', ')}`,
      received: given.length === 0 ? `${Object.keys(line.fields).join(', ') || 'nothing'}` : given.join(' and '),
    })
  }
  if (given[0] === 'prompt' && typeof prompt !== 'string') {
    throw new TandemError('invalid-argument', 'The prompt is not a text', { received: typeof prompt })
  }
  if (given[0] !== 'inputIds' && attentionMask !== undefined) {
    throw new TandemError('invalid-argument', 'An attentionMask belongs to inputIds', { received: given.join() })
  }
  const tokens = { inputIds, ...(attentionMask === undefined ? {} : { attentionMask }) }
  return {
    input: (prompt ?? messages ?? tokens) as GenerationInput,
    options: {
      ...(parsed.appendEos === true ? { appendEos: true } : {}),
      ...generationArguments({ ...parsed }),
      ...options,
    },
  }
}
