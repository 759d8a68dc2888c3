import { createReadStream } from 'node:fs'
import { addAbortSignal, type Readable } from 'node:stream'
import { TandemError } from '../errors.ts'
import { camelCase } from '../generation/options.ts'

/** One line of input: its keys in camelCase, or what is wrong with it. */
export interface InputLine {
  index: number
  /** The line's own name, given back with its result. */
  id?: unknown
  fields: Record<string, unknown>
  failure?: TandemError
}

/** What to read: texts from the command line, which stand for `{[key]: text}`, then the lines of a file. */
export interface InputSources {
  texts: readonly string[]
  key: string
  /** `--input`: a path, or `-` for standard input. */
  input: string | undefined
  signal: AbortSignal
}

/** All inputs in their order. Throws `not-found`, `io` or `aborted`; a bad line is a line with a `failure`. */
export async function* inputLines({ texts, key, input, signal }: InputSources): AsyncGenerator<InputLine> {
  for (const [index, text] of texts.entries()) yield { index, fields: { [key]: text } }
  if (input === undefined) return
  let index = texts.length
  try {
    const stream = input === '-' ? process.stdin : createReadStream(input)
    for await (const line of splitLines(addAbortSignal(signal, stream))) {
      if (line.trim() !== '') yield inputLine(line, index++)
    }
  } catch (cause) {
    throw readError(input, signal, cause)
  }
}

function inputLine(line: string, index: number): InputLine {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const { id, ...fields } = Object.fromEntries(Object.entries(value).map(([key, item]) => [camelCase(key), item]))
      return { index, ...(id === undefined ? {} : { id }), fields }
    }
  } catch {
    // Falls through: text that is no JSON and JSON that is no object are the same mistake.
  }
  const failure = new TandemError('invalid-argument', 'A line of input is not a JSON object', {
    expected: '{"prompt": …}, {"inputIds": […]} or {"messages": […]}',
    received: line.length > 60 ? `${line.slice(0, 60)}…` : line,
  })
  return { index, fields: {}, failure }
}

async function* splitLines(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  yield rest + decoder.decode()
}

function readError(input: string, signal: AbortSignal, cause: unknown): unknown {
  if (signal.aborted) return new TandemError('aborted', 'The command was interrupted', { cause })
  const { code } = cause as NodeJS.ErrnoException
  if (code === undefined || cause instanceof TandemError) return cause
  if (code === 'ENOENT') return new TandemError('not-found', `There is no input file ${input}`, { cause })
  return new TandemError('io', `The input ${input} cannot be read`, { received: code, cause })
}
