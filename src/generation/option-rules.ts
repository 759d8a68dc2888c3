/** What each option of a generation takes, whatever search it is for. */

export interface OptionRule {
  expected: string
  accepts: (value: unknown) => boolean
  /** Checked only where tokens are drawn, as in transformers: a file may hold any value that nobody uses. */
  whenSampling?: true
}

const LENGTH: OptionRule = { expected: 'an integer above 0', accepts: (value) => isInteger(value) && value > 0 }
const COUNT: OptionRule = { expected: 'an integer of at least 0', accepts: (value) => isInteger(value) && value >= 0 }
const FLAG: OptionRule = { expected: 'true or false', accepts: (value) => typeof value === 'boolean' }
const NUMBER: OptionRule = { expected: 'a number', accepts: isNumber }
const PENALTY: OptionRule = { expected: 'a number above 0', accepts: (value) => isNumber(value) && value > 0 }
const TOKEN: OptionRule = { expected: 'a token id', accepts: isTokenId }
const TOKENS: OptionRule = {
  expected: 'a token id or a list of them',
  accepts: (value) => isTokenId(value) || isList(value, isTokenId),
}
const TOKEN_LIST: OptionRule = { expected: 'a list of token ids', accepts: (value) => isList(value, isTokenId) }
const CUTOFF: OptionRule = { expected: 'a number from 0 to 1', accepts: within(0, 1), whenSampling: true }

/** Every option that this version honours, in the order in which help texts list them. */
export const OPTION_RULES: Readonly<Record<string, OptionRule>> = {
  maxNewTokens: LENGTH,
  maxLength: LENGTH,
  minNewTokens: COUNT,
  minLength: COUNT,
  doSample: FLAG,
  temperature: { ...PENALTY, whenSampling: true },
  topK: { ...COUNT, whenSampling: true },
  topP: CUTOFF,
  minP: CUTOFF,
  topH: {
    expected: 'a number above 0, up to 1',
    accepts: (value) => within(0, 1)(value) && value !== 0,
    whenSampling: true,
  },
  typicalP: {
    expected: 'a number above 0 (1 and more: off)',
    accepts: (value) => isNumber(value) && value > 0,
    whenSampling: true,
  },
  epsilonCutoff: CUTOFF,
  etaCutoff: CUTOFF,
  seed: { expected: 'an integer', accepts: isInteger },
  numBeams: LENGTH,
  numReturnSequences: LENGTH,
  lengthPenalty: NUMBER,
  earlyStopping: { expected: 'true, false or "never"', accepts: (value) => FLAG.accepts(value) || value === 'never' },
  penaltyAlpha: NUMBER,
  repetitionPenalty: PENALTY,
  encoderRepetitionPenalty: PENALTY,
  noRepeatNgramSize: COUNT,
  encoderNoRepeatNgramSize: COUNT,
  badWordsIds: {
    expected: 'a list of at least one list of token ids, none of them empty',
    accepts: (value) => isList(value, isSequence) && value.length > 0,
  },
  sequenceBias: {
    expected: 'a list of pairs of token ids and a number, such as [[[5, 9], -2.5]]',
    accepts: (value) => isList(value, isBias) && value.length > 0,
  },
  forcedBosTokenId: TOKEN,
  forcedEosTokenId: TOKENS,
  suppressTokens: TOKEN_LIST,
  beginSuppressTokens: TOKEN_LIST,
  exponentialDecayLengthPenalty: {
    expected: 'a pair of a number of tokens and a factor, such as [20, 1.1]',
    accepts: (value) => isList(value, isNumber) && value.length === 2,
  },
  removeInvalidValues: FLAG,
  renormalizeLogits: FLAG,
  stopStrings: {
    expected: 'a text or a list of texts, none of them empty',
    accepts: (value) => isText(value) || (isList(value, isText) && value.length > 0),
  },
  maxTime: { expected: 'a number of seconds above 0', accepts: PENALTY.accepts },
  eosTokenId: {
    expected: 'a token id or a list of them',
    // A negative id, which some files hold for "none", ends nothing.
    accepts: (value) => isInteger(value) || isList(value, isInteger),
  },
  padTokenId: { expected: 'a token id', accepts: isInteger },
  prefixAllowedTokensFn: { expected: 'a function of the ids', accepts: (value) => typeof value === 'function' },
  logitsProcessor: {
    expected: 'a function of the ids and the scores, or a list of them',
    accepts: (value) => [value].flat().every((item) => typeof item === 'function'),
  },
  search: {
    expected: 'greedy, beam, sampling or contrastive',
    accepts: (value) => ['greedy', 'beam', 'sampling', 'contrastive'].includes(String(value)),
  },
}

/** Options that name tokens to be edited: they must be inside the vocabulary. */
export const TOKEN_OPTIONS: readonly string[] = [
  'badWordsIds',
  'forcedBosTokenId',
  'forcedEosTokenId',
  'suppressTokens',
  'beginSuppressTokens',
]

/** What transformers has, or had, and Tandem has not: the value that asks for nothing. */
export const UNSUPPORTED: Readonly<Record<string, unknown>> = {
  numBeamGroups: 1,
  diversityPenalty: 0,
  guidanceScale: 1,
  constraints: undefined,
  forceWordsIds: undefined,
  watermarkingConfig: undefined,
  dolaLayers: undefined,
  promptLookupNumTokens: undefined,
  tokenHealing: false,
  lowMemory: undefined,
}

/** Options of transformers that cannot change a text here. */
export const HARMLESS: readonly string[] = ['useCache', 'returnDictInGenerate', 'outputScores']

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isTokenId(value: unknown): value is number {
  return isInteger(value) && value >= 0 && value < 2 ** 31
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isList(value: unknown, accepts: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(accepts)
}

function isBias(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [ids, bias] = value as unknown[]
  return isSequence(ids) && isNumber(bias)
}

function isSequence(value: unknown): boolean {
  return isList(value, isTokenId) && value.length > 0
}

function within(least: number, most: number): (value: unknown) => boolean {
  return (value) => isNumber(value) && value >= least && value <= most
}
