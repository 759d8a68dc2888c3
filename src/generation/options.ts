import { TandemError } from '../errors.ts'
import { EFFECTIVE_OPTION_NAMES, GENERATION_OPTION_NAMES, IDLE, SUPPORTED, UNSUPPORTED } from './option-rules.ts'

/** Options of one call, under Hugging Face's names. `null` turns an option off. */
export interface GenerationOptions {
  /** Tokens to add at most; beats `maxLength`, wherever it was set. */
  maxNewTokens?: number | null
  /** Length at most, the decoder's prompt included: 1 for an encoder-decoder. */
  maxLength?: number | null
  doSample?: boolean | null
  numBeams?: number | null
  /** Divides the positive logits of tokens that are already there and multiplies the negative ones. */
  repetitionPenalty?: number | null
  /** One id or several; any of them ends the text. */
  eosTokenId?: number | readonly number[] | null
  padTokenId?: number | null
}

/** Where an option may come from, strongest first. Keys are snake_case or camelCase. */
export interface GenerationSources {
  /** Options of this call. */
  call?: object
  /** A `generation_config.json` given beside the model; its nulls say nothing. */
  config?: object
  /** The model's own `generation_config.json`, or the generation keys of its `config.json`. */
  model?: object
  /** `max_position_embeddings` of the model; caps the default length and no other. */
  maxPositions?: number
}

/** Everything a search needs to know, checked. */
export interface GenerationConfig {
  maxNewTokens: number | undefined
  maxLength: number | undefined
  maxPositions: number | undefined
  /** Empty: only the length ends the text. */
  eosTokenIds: readonly number[]
  padTokenId: number | undefined
  repetitionPenalty: number
}

/** New tokens when nobody says how many (transformers 5). */
const DEFAULT_NEW_TOKENS = 20

/**
 * Resolves the options of one call as transformers 5 does: call, then given config, then the model's, then defaults.
 * Throws `invalid-argument` for a bad value and `unsupported-option` for what this version cannot do.
 */
export function resolveGeneration(sources: GenerationSources): GenerationConfig {
  const call = camelCaseKeys(sources.call ?? {})
  const config = camelCaseKeys(sources.config ?? {})
  const model = camelCaseKeys(sources.model ?? {})
  validateNames(call)
  const value = (name: string): unknown => (call[name] !== undefined ? call[name] : (config[name] ?? model[name]))
  for (const name of Object.keys(SUPPORTED)) validate(name, value(name))
  for (const name of Object.keys(UNSUPPORTED)) refuse(name, value(name), call[name] !== undefined)
  for (const name of Object.keys(IDLE)) refuseIdle(name, call[name])
  const number = (name: string): number | undefined => (value(name) ?? undefined) as number | undefined
  return {
    maxNewTokens: number('maxNewTokens'),
    maxLength: number('maxLength'),
    maxPositions: sources.maxPositions,
    eosTokenIds: [value('eosTokenId') ?? []].flat() as number[],
    padTokenId: number('padTokenId'),
    repetitionPenalty: number('repetitionPenalty') ?? 1,
  }
}

/** Length at which the decoder's ids end, its prompt of `promptLength` ids included. */
export function lengthLimit(config: GenerationConfig, promptLength: number): number {
  if (config.maxNewTokens !== undefined) return promptLength + config.maxNewTokens
  const byDefault = Math.min(promptLength + DEFAULT_NEW_TOKENS, config.maxPositions ?? Number.POSITIVE_INFINITY)
  const limit = config.maxLength ?? byDefault
  if (promptLength < limit) return limit
  throw new TandemError('invalid-argument', 'The prompt leaves no room for new tokens', {
    expected: `a prompt of fewer than ${limit} tokens (max_length)`,
    received: `${promptLength}`,
    remedy: 'Set max_new_tokens',
  })
}

/** `num_beams` → `numBeams`; camelCase stays. */
export function camelCase(name: string): string {
  return name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `numBeams` → `num_beams`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function camelCaseKeys(options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value]))
}

function validateNames(call: Record<string, unknown>): void {
  const unknown = Object.keys(call).find((name) => !GENERATION_OPTION_NAMES.includes(name))
  if (unknown === undefined) return
  throw new TandemError('invalid-argument', `There is no option ${snakeCase(unknown)}`, {
    expected: EFFECTIVE_OPTION_NAMES.map(snakeCase).join(', '),
  })
}

function validate(name: string, value: unknown): void {
  const rule = SUPPORTED[name]
  if (rule === undefined || value === undefined || value === null || rule.accepts(value)) return
  throw new TandemError('invalid-argument', `${snakeCase(name)} has a bad value`, {
    expected: rule.expected,
    received: JSON.stringify(value) ?? typeof value,
  })
}

function refuse(name: string, value: unknown, isFromCall: boolean): void {
  const rule = UNSUPPORTED[name]
  if (rule === undefined || value === undefined || value === null || value === rule.neutral) return
  if (Array.isArray(value) && value.length === 0) return
  const neutral = rule.neutral === undefined ? 'null' : JSON.stringify(rule.neutral)
  const needs = rule.needs === 'a rule' ? 'is a rule that' : `needs ${rule.needs}, which`
  throw new TandemError('unsupported-option', `${snakeCase(name)} ${needs} this version does not have`, {
    expected: neutral,
    received: JSON.stringify(value) ?? typeof value,
    remedy: isFromCall ? 'Leave it out to decode greedily' : remedyForFile(name, neutral),
  })
}

/** A model whose own file asks for more can still be run greedily, but only by someone who says so. */
function remedyForFile(name: string, neutral: string): string {
  return `The model's generation_config.json asks for it; pass --${snakeCase(name).replaceAll('_', '-')} ${neutral} (${name}: ${neutral}) to go without`
}

function refuseIdle(name: string, value: unknown): void {
  if (value === undefined || value === null || value === IDLE[name]) return
  throw new TandemError('unsupported-option', `${snakeCase(name)} has no effect on greedy search`, {
    received: JSON.stringify(value) ?? typeof value,
    remedy: 'Leave it out; this version has no other search',
  })
}
