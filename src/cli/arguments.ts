import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { TandemError } from '../errors.ts'
import { EFFECTIVE_OPTION_NAMES, GENERATION_OPTION_NAMES } from '../generation/option-rules.ts'
import { snakeCase } from '../generation/options.ts'
import type { LoadOptions } from '../runtime/load.ts'
import { ProgressBar, type Terminal } from './ui.ts'

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

const DESCRIPTIONS: Record<string, string> = {
  maxNewTokens: 'tokens to add at most (default of transformers: 20)',
  maxLength: 'length at most, the prompt of a decoder-only model included',
  repetitionPenalty: 'above 1: tokens that are already there become less likely',
  eosTokenId: 'id, or JSON list of ids, that ends the text',
  padTokenId: 'id of padding',
  doSample: 'false: greedy, whatever the model says',
  numBeams: '1: greedy, whatever the model says',
}

/** `-m` and everything that decides how a model is loaded. */
export function addEngineOptions(command: Command): Command {
  return command
    .requiredOption('-m, --model <model>', 'nano-chatlm, nano-qwen, a model folder or a .gguf file')
    .option('--device <device>', 'auto, cpu, cuda, vulkan, metal or the name of a device')
    .option('--threads <n>', 'CPU threads', positiveInteger)
    .option('--context-size <n>', 'tokens that all texts together may have', positiveInteger)
    .addOption(new Option('--kv-type <type>', 'type of stored keys and values').choices(['f32', 'f16']))
    .option('--quantize <type>', 'type of the weights when MODEL is a folder: f32, f16, bf16, q8_0 (default)')
    .option('--generation-config <file>', "a generation_config.json that goes before the model's own")
    .option('--no-defaults', "ignore the model's own generation_config.json but for its special tokens")
}

/** Every generation option of Hugging Face in kebab case; those without effect here are understood, and refused later. */
export function addGenerationOptions(command: Command): Command {
  for (const name of GENERATION_OPTION_NAMES) {
    const flags = `--${snakeCase(name).replaceAll('_', '-')} ${name === 'doSample' ? '[value]' : '<value>'}`
    const option = new Option(flags, DESCRIPTIONS[name] ?? '')
    // Commander takes every --no-… for the negation of another option, and --no-repeat-ngram-size is none.
    option.negate = false
    if (name === 'doSample') option.preset('true')
    command.addOption(EFFECTIVE_OPTION_NAMES.includes(name) ? option : option.hideHelp())
  }
  return command
}

/** The generation options among parsed arguments. */
export function generationArguments(parsed: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    GENERATION_OPTION_NAMES.filter((name) => parsed[name] !== undefined).map((name) => [
      name,
      jsonValue(String(parsed[name])),
    ]),
  )
}

/** How `load` shall load; a bar on the terminal shows a conversion. */
export async function loadOptions(parsed: EngineArguments, { terminal, signal }: CommandContext): Promise<LoadOptions> {
  const { device, threads, contextSize, kvType, quantize, generationConfig, defaults } = parsed
  const bar = new ProgressBar(terminal.err, `Converting ${parsed.model}`)
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
      if (done >= total) bar.end()
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
