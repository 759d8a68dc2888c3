import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { TandemError } from '../errors.ts'
import { snakeCase } from '../generation/options.ts'
import { GENERATION_OPTION_NAMES } from '../generation/resolve.ts'
import type { LoadOptions } from '../runtime/load.ts'
import type { Terminal } from './terminal.ts'
import { ProgressBar } from './ui.ts'

/** What every command gets beside its own arguments. */
export interface CommandContext {
  terminal: Terminal
  signal: AbortSignal
}

/** Options of the engine as commander parses them. */
export interface EngineArguments {
  model: string
  device?: string
  threads?: number
  contextSize?: number
  kvType?: 'f32' | 'f16'
  quantize?: string
  generationConfig?: string
  /** `--no-defaults` makes it false. */
  defaults?: boolean
}

/** Options of generation that belong to programs. */
const FUNCTIONS = ['prefixAllowedTokensFn', 'logitsProcessor']
const COMMAND_LINE_NAMES = GENERATION_OPTION_NAMES.filter((name) => !FUNCTIONS.includes(name))
const FLAGS = ['doSample', 'removeInvalidValues', 'renormalizeLogits']

/** `-m` and everything that decides how a model is loaded. */
export function addEngineOptions(command: Command): Command {
  return command
    .requiredOption('-m, --model <model>')
    .option('--device <device>')
    .option('--threads <n>', '', positiveInteger)
    .option('--context-size <n>', '', positiveInteger)
    .addOption(new Option('--kv-type <type>').choices(['f32', 'f16']))
    .option('--quantize <type>')
    .option('--generation-config <file>')
    .option('--no-defaults')
}

/** Every generation option of Hugging Face in kebab case; those that Tandem lacks are understood, and refused later. */
export function addGenerationOptions(command: Command): Command {
  for (const name of COMMAND_LINE_NAMES) {
    const option = new Option(`--${snakeCase(name).replaceAll('_', '-')} ${argumentOf(name)}`)
    // Commander takes every --no-… for the negation of another option, and --no-repeat-ngram-size is none.
    option.negate = false
    if (FLAGS.includes(name)) option.preset('true')
    if (name === 'stop')
      option.argParser((text, earlier: unknown) => [...((earlier as string[] | undefined) ?? []), text])
    command.addOption(option)
  }
  return command
}

function argumentOf(name: string): string {
  return FLAGS.includes(name) ? '[value]' : name === 'stop' ? '<text>' : '<value>'
}

/** The generation options among parsed arguments. */
export function generationArguments(parsed: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    COMMAND_LINE_NAMES.filter((name) => parsed[name] !== undefined).map((name) => [
      name,
      name === 'stop' ? parsed[name] : jsonValue(String(parsed[name])),
    ]),
  )
}

/** How `load` shall load; a bar on the terminal shows a conversion. */
export async function loadOptions(parsed: EngineArguments, { terminal, signal }: CommandContext): Promise<LoadOptions> {
  const { device, threads, contextSize, kvType, quantize, generationConfig, defaults } = parsed
  const bar = new ProgressBar(terminal.canvas, `Converting ${parsed.model}`)
  return {
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
    ...(contextSize === undefined ? {} : { contextSize }),
    ...(kvType === undefined ? {} : { kvType }),
    ...(quantize === undefined ? {} : { quantization: quantize }),
    ...(generationConfig === undefined ? {} : { generationConfig: await readJsonObject(generationConfig) }),
    ...(defaults === false ? { modelDefaults: false } : {}),
    onProgress: ({ done, total }) => {
      bar.update(done, total)
      if (done < total) return
      bar.end()
      terminal.detail('converted', parsed.model)
    },
    signal,
  }
}

export function positiveInteger(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError('Expected an integer above 0.')
}

/** `5` → 5, `true` → true, `[1,2]` → a list; anything else stays text. */
function jsonValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function readJsonObject(path: string): Promise<object> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new TandemError('not-found', `There is no file ${path}`, { cause })
    throw new TandemError('invalid-file', `${path} cannot be read as JSON`, { received: message, cause })
  }
  throw new TandemError('invalid-file', `${path} is not a JSON object`)
}
