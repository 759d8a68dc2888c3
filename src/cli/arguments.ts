import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { TandemError } from '../errors.ts'
import { snakeCase } from '../generation/options.ts'
import { GENERATION_OPTION_NAMES } from '../generation/resolve.ts'
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

/** Options of a command line; those that are functions belong to programs. Whatever has no description stays hidden. */
const DESCRIPTIONS: Record<string, string> = {
  search: "one of ChatLM's presets: greedy, beam, sampling or contrastive",
  maxNewTokens: 'tokens to add at most (default of transformers: 20)',
  maxLength: 'length at most, the prompt of a decoder-only model included',
  minNewTokens: 'new tokens before which no text ends',
  minLength: 'length below which no text ends',
  doSample: 'draw the tokens; false: do not, whatever the model says',
  temperature: 'below 1: likely tokens become likelier',
  topK: 'draw from so many of the best tokens (default 50; 0: all)',
  topP: 'draw from the best tokens that make up this probability',
  minP: 'draw from tokens with at least this share of the best probability',
  topH: 'draw from the best tokens that make up this share of the entropy',
  typicalP: 'draw from the most typical tokens that make up this probability',
  epsilonCutoff: 'draw from tokens of at least this probability',
  etaCutoff: 'as --epsilon-cutoff, with a bound that follows the entropy',
  seed: 'the draws of torch.manual_seed on a CPU (default: a fresh one, told with --json)',
  numBeams: 'beams of a beam search (1: none)',
  numReturnSequences: 'texts to return',
  lengthPenalty: 'above 0 favours long texts, below 0 short ones',
  earlyStopping: 'true, false or never: when a beam search has found enough',
  penaltyAlpha: 'contrastive search: weight of the difference to what is there',
  repetitionPenalty: 'above 1: tokens that are already there become less likely',
  encoderRepetitionPenalty: 'above 1: tokens of the input become more likely',
  noRepeatNgramSize: 'no sequence of so many tokens appears twice',
  encoderNoRepeatNgramSize: 'no sequence of so many tokens of the input appears',
  badWordsIds: 'JSON list of token sequences that must not appear',
  sequenceBias: 'JSON list of [token sequence, bias]',
  forcedBosTokenId: 'first token',
  forcedEosTokenId: 'token that ends a text at its full length',
  suppressTokens: 'JSON list of tokens that must not appear',
  beginSuppressTokens: 'JSON list of tokens that must not come first',
  exponentialDecayLengthPenalty: 'JSON pair: from so many new tokens on, ending becomes likelier by a factor',
  removeInvalidValues: 'replace scores that are not numbers',
  renormalizeLogits: 'make log-probabilities of the scores at the end',
  stop: 'a text that ends the generation; may be given several times',
  maxTime: 'seconds after which no further token is begun',
  eosTokenId: 'id, or JSON list of ids, that ends the text',
  padTokenId: 'id of padding',
}

const FUNCTIONS = ['prefixAllowedTokensFn', 'logitsProcessor']
const COMMAND_LINE_NAMES = GENERATION_OPTION_NAMES.filter((name) => !FUNCTIONS.includes(name))
const FLAGS = ['doSample', 'removeInvalidValues', 'renormalizeLogits']

/** `-m` and everything that decides how a model is loaded. */
export function addEngineOptions(command: Command): Command {
  return command
    .requiredOption('-m, --model <model>', 'nano-chatlm, nano-qwen, a model folder or a .gguf file')
    .option('--device <device>', 'auto, cpu, cuda, vulkan, metal or the name of a device')
    .option('--threads <n>', 'CPU threads', positiveInteger)
    .option('--context-size <n>', 'tokens that all texts together may have', positiveInteger)
    .addOption(new Option('--kv-type <type>', 'type of stored keys and values').choices(['f32', 'f16']))
    .option('--quantize <type>', 'type of the weights when MODEL is a folder: q8_0 (default), f16, q4_k_m, …')
    .option('--generation-config <file>', "a generation_config.json that goes before the model's own")
    .option('--no-defaults', "ignore the model's own generation_config.json but for its special tokens")
}

/** Every generation option of Hugging Face in kebab case; those that Tandem lacks are understood, and refused later. */
export function addGenerationOptions(command: Command): Command {
  for (const name of COMMAND_LINE_NAMES) {
    const option = new Option(`--${snakeCase(name).replaceAll('_', '-')} ${argumentOf(name)}`, DESCRIPTIONS[name] ?? '')
    // Commander takes every --no-… for the negation of another option, and --no-repeat-ngram-size is none.
    option.negate = false
    if (FLAGS.includes(name)) option.preset('true')
    if (name === 'stop')
      option.argParser((text, earlier: unknown) => [...((earlier as string[] | undefined) ?? []), text])
    command.addOption(DESCRIPTIONS[name] === undefined ? option.hideHelp() : option)
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
