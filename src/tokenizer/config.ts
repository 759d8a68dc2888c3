import { TandemError } from '../errors.ts'
import { parseJson } from '../json.ts'

/** The tokens that Hugging Face gives a name. */
export type SpecialTokenName = 'bos' | 'eos' | 'unk' | 'sep' | 'pad' | 'cls' | 'mask'

/** One entry of `added_tokens`, in `tokenizer.json` and in `tokenizer_config.json` alike. */
export interface AddedTokenEntry {
  content: string
  special: boolean
  singleWord: boolean
  leftStrip: boolean
  rightStrip: boolean
  normalized: boolean
}

/** What `tokenizer_config.json` adds to `tokenizer.json`. */
export interface TokenizerConfig {
  specialTokens: Partial<Record<SpecialTokenName, string>>
  /** In the order of their ids. */
  addedTokens: AddedTokenEntry[]
  extraSpecialTokens: string[]
  /** `undefined` when the file says nothing, which is not the same as false: see `backend.ts`. */
  addBosToken: boolean | undefined
  addEosToken: boolean | undefined
  paddingSide: Side
  truncationSide: Side
}

export type Side = 'left' | 'right'

const SPECIAL_TOKEN_NAMES: readonly SpecialTokenName[] = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask']

/** Reads the text of a `tokenizer_config.json`; throws `invalid-file` when it is not one. */
export function parseTokenizerConfig(text: string): TokenizerConfig {
  const config = parseObject(text, 'tokenizer_config.json')
  const specialTokens: Partial<Record<SpecialTokenName, string>> = {}
  for (const name of SPECIAL_TOKEN_NAMES) {
    const token = tokenContent(config[`${name}_token`])
    if (token !== undefined) specialTokens[name] = token
  }
  const extra = config['additional_special_tokens'] ?? config['extra_special_tokens']
  const entries = isObject(config['added_tokens_decoder']) ? Object.entries(config['added_tokens_decoder']) : []
  return {
    specialTokens,
    addedTokens: entries
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([, entry]) => addedTokenEntry(entry))
      .filter((entry) => entry !== undefined),
    extraSpecialTokens: Array.isArray(extra) ? extra.map(tokenContent).filter((token) => token !== undefined) : [],
    addBosToken: flag(config['add_bos_token']),
    addEosToken: flag(config['add_eos_token']),
    paddingSide: config['padding_side'] === 'left' ? 'left' : 'right',
    truncationSide: config['truncation_side'] === 'left' ? 'left' : 'right',
  }
}

/** Reads a JSON text that must be an object; throws `invalid-file` naming the file. */
export function parseObject(text: string, file: string): Record<string, unknown> {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (cause) {
    throw new TandemError('invalid-file', `${file} is not JSON`, { received: (cause as Error).message, cause })
  }
  if (!isObject(value)) throw new TandemError('invalid-file', `${file} is not a JSON object`)
  return value
}

/** The entry of an added token with the defaults of Hugging Face, or `undefined` when it has no text. */
export function addedTokenEntry(value: unknown): AddedTokenEntry | undefined {
  const content = tokenContent(value)
  if (content === undefined || !isObject(value)) return undefined
  const special = value['special'] === true
  return {
    content,
    special,
    singleWord: value['single_word'] === true,
    leftStrip: value['lstrip'] === true,
    rightStrip: value['rstrip'] === true,
    normalized: flag(value['normalized']) ?? !special,
  }
}

/** A token is written either as its text or as an object with the text under `content`. */
function tokenContent(value: unknown): string | undefined {
  const content = isObject(value) ? value['content'] : value
  return typeof content === 'string' && content !== '' ? content : undefined
}

function flag(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
