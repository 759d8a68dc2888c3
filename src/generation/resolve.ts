import { TandemError } from '../errors.ts'
import { HARMLESS, OPTION_RULES, TOKEN_OPTIONS, UNSUPPORTED } from './option-rules.ts'
import { camelCase, type GenerationConfig, type SearchMode, snakeCase, type WarperName } from './options.ts'
import { FOREIGN_OPTIONS, PRESETS } from './presets.ts'

/** Where an option may come from, strongest first. Keys are snake_case or camelCase. */
export interface GenerationSources {
  /** Options of this call; `null` turns an option off. */
  call?: object
  /** A `generation_config.json` given beside the model; its nulls say nothing. */
  config?: object
  /** The model's own `generation_config.json`, or the generation keys of its `config.json`. */
  model?: object
  /** `max_position_embeddings` of the model; caps the default length and no other. */
  maxPositions?: number
  /** Tokens that options may name. */
  vocabularySize?: number
}

/** Names of all options that a caller may give, those first that have an effect. */
export const GENERATION_OPTION_NAMES: readonly string[] = [
  ...Object.keys(OPTION_RULES),
  'stop',
  ...Object.keys(UNSUPPORTED),
  ...HARMLESS,
]

const MAX_SEED = 2 ** 32

/** What is looked up by name; `undefined` where neither the sources nor the library have anything to say. */
type Lookup = (name: string) => unknown

/**
 * Resolves the options of one call as transformers 5 does: call, then its preset, then given config, then the model's,
 * then the library's defaults.
 *
 * @throws TandemError `invalid-argument` for a bad value, `unsupported-option` for what this version cannot do
 */
export function resolveGeneration(sources: GenerationSources): GenerationConfig {
  const call = namedOptions(sources.call ?? {})
  const search = call['search'] ?? undefined
  checkValue('search', search)
  if (search !== undefined) checkSearch(search as SearchMode, call)
  const layers = [presetOf(search, call), namedOptions(sources.config ?? {}), namedOptions(sources.model ?? {})]
  const value: Lookup = (name) => {
    if (call[name] !== undefined) return call[name] ?? undefined
    return layers.find((layer) => layer[name] !== undefined && layer[name] !== null)?.[name]
  }
  checkNames(call)
  for (const name of Object.keys(UNSUPPORTED)) refuse(name, value(name), call[name] !== undefined)
  const doSample = value('doSample') === true
  for (const [name, { whenSampling }] of Object.entries(OPTION_RULES)) {
    if (whenSampling === undefined || doSample) checkValue(name, value(name))
  }
  for (const name of TOKEN_OPTIONS) checkTokens(name, [value(name)].flat(2), sources.vocabularySize)
  checkTokens('sequenceBias', biasedTokens(value('sequenceBias')), sources.vocabularySize)
  // Turned off by a null, top_k is no limit; said by nobody, it is 50.
  const topK = call['topK'] === null ? 0 : ((value('topK') ?? 50) as number)
  const config = { ...searchOptions(value, topK), ...ruleOptions(value), maxPositions: sources.maxPositions }
  checkTogether(config)
  return config
}

function searchOptions(value: Lookup, topK: number) {
  const doSample = value('doSample') === true
  const numBeams = (value('numBeams') ?? 1) as number
  const penaltyAlpha = (value('penaltyAlpha') ?? 0) as number
  return {
    mode: modeOf({ doSample, numBeams, penaltyAlpha, topK }),
    doSample,
    numBeams,
    numReturnSequences: (value('numReturnSequences') ?? 1) as number,
    earlyStopping: (value('earlyStopping') ?? false) as boolean | 'never',
    lengthPenalty: (value('lengthPenalty') ?? 1) as number,
    penaltyAlpha,
    topK,
    warpers: doSample ? warpers(value, topK) : [],
    seed: doSample ? ((value('seed') ?? Math.floor(Math.random() * MAX_SEED)) as number) : undefined,
  }
}

type ModeOptions = Pick<GenerationConfig, 'doSample' | 'numBeams' | 'penaltyAlpha' | 'topK'>

function modeOf({ doSample, numBeams, penaltyAlpha, topK }: ModeOptions): SearchMode {
  if (numBeams > 1) return 'beam'
  if (doSample) return 'sampling'
  return penaltyAlpha > 0 && topK > 1 ? 'contrastive' : 'greedy'
}

/** The filters that have an effect, in the order of transformers. */
function warpers(value: Lookup, topK: number): { kind: WarperName; value: number }[] {
  const isActive: [WarperName, (option: number) => boolean][] = [
    ['temperature', (option) => option !== 1],
    ['topH', () => true],
    ['topK', (option) => option !== 0],
    ['topP', (option) => option < 1],
    ['minP', () => true],
    ['typicalP', (option) => option < 1],
    ['epsilonCutoff', (option) => option > 0 && option < 1],
    ['etaCutoff', (option) => option > 0 && option < 1],
  ]
  return isActive.flatMap(([kind, active]) => {
    const option = kind === 'topK' ? topK : value(kind)
    return typeof option === 'number' && active(option) ? [{ kind, value: option }] : []
  })
}

function ruleOptions(value: Lookup) {
  const optional = <Value>(name: string) => value(name) as Value | undefined
  const list = <Value>(name: string) => (value(name) ?? []) as readonly Value[]
  const several = <Value>(name: string) => [value(name) ?? []].flat() as Value[]
  const number = (name: string, neutral: number) => optional<number>(name) ?? neutral
  return {
    maxNewTokens: optional<number>('maxNewTokens'),
    maxLength: optional<number>('maxLength'),
    maxTime: optional<number>('maxTime'),
    minLength: number('minLength', 0),
    minNewTokens: optional<number>('minNewTokens'),
    stopStrings: several<string>('stopStrings'),
    eosTokenIds: several<number>('eosTokenId'),
    padTokenId: optional<number>('padTokenId'),
    repetitionPenalty: number('repetitionPenalty', 1),
    encoderRepetitionPenalty: number('encoderRepetitionPenalty', 1),
    noRepeatNgramSize: number('noRepeatNgramSize', 0),
    encoderNoRepeatNgramSize: number('encoderNoRepeatNgramSize', 0),
    badWordsIds: list<readonly number[]>('badWordsIds'),
    sequenceBias: list<readonly [readonly number[], number]>('sequenceBias'),
    forcedBosTokenId: optional<number>('forcedBosTokenId'),
    forcedEosTokenIds: several<number>('forcedEosTokenId'),
    suppressTokens: list<number>('suppressTokens'),
    beginSuppressTokens: list<number>('beginSuppressTokens'),
    exponentialDecayLengthPenalty: optional<readonly [number, number]>('exponentialDecayLengthPenalty'),
    removeInvalidValues: value('removeInvalidValues') === true,
    renormalizeLogits: value('renormalizeLogits') === true,
    prefixAllowedTokensFn: optional<NonNullable<GenerationConfig['prefixAllowedTokensFn']>>('prefixAllowedTokensFn'),
    logitsProcessors: several<GenerationConfig['logitsProcessors'][number]>('logitsProcessor'),
  }
}

/** `max_length` of the call would lose against the preset's `max_new_tokens`. */
function presetOf(search: unknown, call: Record<string, unknown>): Record<string, unknown> {
  if (search === undefined) return {}
  const { maxNewTokens, ...preset } = PRESETS[search as SearchMode]
  return call['maxLength'] === undefined || call['maxLength'] === null ? { ...preset, maxNewTokens } : preset
}

function namedOptions(options: object): Record<string, unknown> {
  const { stop, ...named } = Object.fromEntries(
    Object.entries(options).map(([name, value]): [string, unknown] => [camelCase(name), value]),
  )
  return stop === undefined ? named : { ...named, stopStrings: stop }
}

function biasedTokens(bias: unknown): unknown[] {
  return ((bias ?? []) as [number[], number][]).flatMap(([ids]) => ids)
}

function checkNames(call: Record<string, unknown>): void {
  const unknown = Object.keys(call).find((name) => !GENERATION_OPTION_NAMES.includes(name))
  if (unknown === undefined) return
  throw new TandemError('invalid-argument', `There is no option ${snakeCase(unknown)}`, {
    expected: Object.keys(OPTION_RULES).map(snakeCase).join(', '),
  })
}

/** Who names a search expects every option to have an effect on it. */
function checkSearch(search: SearchMode, call: Record<string, unknown>): void {
  const foreign = FOREIGN_OPTIONS[search].find((name) => call[name] !== undefined && call[name] !== null)
  if (foreign !== undefined) {
    throw new TandemError('invalid-argument', `${snakeCase(foreign)} does not belong to ${search} search`, {
      received: JSON.stringify(call[foreign]) ?? typeof call[foreign],
      remedy: 'Leave it out, or leave out search and let the options decide',
    })
  }
  if (search !== 'beam' || call['numBeams'] === undefined || Number(call['numBeams']) > 1) return
  throw new TandemError('invalid-argument', 'A beam search needs more than one beam', {
    expected: 'num_beams above 1',
    received: JSON.stringify(call['numBeams']) ?? 'nothing',
  })
}

function checkValue(name: string, value: unknown): void {
  const rule = OPTION_RULES[name]
  if (rule === undefined || value === undefined || value === null || rule.accepts(value)) return
  throw new TandemError('invalid-argument', `${snakeCase(name)} has a bad value`, {
    expected: rule.expected,
    received: JSON.stringify(value) ?? typeof value,
  })
}

function checkTokens(name: string, ids: readonly unknown[], vocabularySize = Number.POSITIVE_INFINITY): void {
  const outside = ids.find((id) => typeof id === 'number' && id >= vocabularySize)
  if (outside === undefined) return
  throw new TandemError('invalid-argument', `${snakeCase(name)} names a token that the model does not have`, {
    expected: `ids below ${vocabularySize}`,
    received: String(outside),
  })
}

function refuse(name: string, value: unknown, isFromCall: boolean): void {
  if (value === undefined || value === UNSUPPORTED[name] || (Array.isArray(value) && value.length === 0)) return
  throw new TandemError('unsupported-option', `${snakeCase(name)} asks for what this version does not have`, {
    received: JSON.stringify(value) ?? typeof value,
    remedy: isFromCall
      ? 'Leave it out'
      : `The generation_config.json asks for it; pass ${snakeCase(name)} null to go without`,
  })
}

/** Options that are good alone and bad together. */
function checkTogether(config: GenerationConfig): void {
  const { mode, numBeams, numReturnSequences, forcedBosTokenId, forcedEosTokenIds, suppressTokens } = config
  if (numReturnSequences > 1 && (mode === 'greedy' || mode === 'contrastive')) {
    throw new TandemError('invalid-argument', `A ${mode} search finds one text`, {
      expected: 'num_return_sequences 1',
      received: String(numReturnSequences),
      remedy: 'Set num_beams or do_sample',
    })
  }
  if (mode === 'beam' && numReturnSequences > numBeams) {
    throw new TandemError('invalid-argument', 'A beam search returns at most as many texts as it has beams', {
      expected: `num_return_sequences of at most ${numBeams} (num_beams)`,
      received: String(numReturnSequences),
    })
  }
  const forced = { forced_bos_token_id: [forcedBosTokenId ?? []].flat(), forced_eos_token_id: forcedEosTokenIds }
  for (const [name, ids] of Object.entries(forced)) {
    if (ids.length === 0 || !ids.every((id) => suppressTokens.includes(id))) continue
    throw new TandemError('invalid-argument', `Every token of ${name} is also in suppress_tokens`, {
      received: ids.join(', '),
      remedy: 'Take it out of one of them; to prevent an early end, use min_new_tokens',
    })
  }
}
