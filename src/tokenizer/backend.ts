import { AddedToken, Tokenizer as Backend, templateProcessing } from 'tokenizers'
import { TandemError } from '../errors.ts'
import { type AddedTokenEntry, addedTokenEntry, isObject, parseObject, type TokenizerConfig } from './config.ts'
import { refuseFatalFile, refuseFatalTokens, type TextLimits } from './fatal.ts'

/** Gemma's file, the largest in use, has 33 MB; anything far beyond is not a vocabulary. */
const MAX_FILE_LENGTH = 128 * 2 ** 20

/** What the two files of a tokenizer amount to. */
export interface LoadedBackend {
  backend: Backend
  /** The special tokens, of both files. */
  specials: readonly AddedTokenEntry[]
  /** Their texts, which decoding leaves out when it skips special tokens. */
  specialTexts: ReadonlySet<string>
  /** The decoder turns `<0xE4>` tokens into bytes, run by run. */
  hasByteFallback: boolean
  /** The decoder reads every letter of a token as a byte. */
  isByteLevel: boolean
  /** The decoder has rules about spaces that look at the text on both sides, such as " +(?=[,.])". */
  rewritesSpaces: boolean
  limits: TextLimits
}

/**
 * Builds the Rust tokenizer as `transformers` 5 does: the file, then the tokens that only `tokenizer_config.json` knows,
 * then its `add_bos_token` and `add_eos_token`.
 */
export function loadBackend(tokenizerJson: string, config: TokenizerConfig | undefined): LoadedBackend {
  if (tokenizerJson.length > MAX_FILE_LENGTH) {
    throw new TandemError('invalid-file', 'tokenizer.json is too long', {
      expected: `at most ${MAX_FILE_LENGTH} characters`,
      received: `${tokenizerJson.length}`,
    })
  }
  return makeBackend(parseObject(tokenizerJson, 'tokenizer.json'), config)
}

/** The same of a `tokenizer.json` that has been parsed. */
export function makeBackend(file: Record<string, unknown>, config: TokenizerConfig | undefined): LoadedBackend {
  const present = Array.isArray(file['added_tokens'])
    ? file['added_tokens'].map(addedTokenEntry).filter((entry) => entry !== undefined)
    : []
  const limits = refuseFatalFile(file)
  const backend = parseBackend(canonicalText(file))
  // A call decides about padding and truncation; what a training run left in the file must not.
  backend.disablePadding()
  backend.disableTruncation()
  const missing = config === undefined ? [] : missingTokens(present, config)
  if (missing.length > 0) backend.addAddedTokens(missing.map(nativeToken))
  if (config !== undefined) replacePostProcessor(backend, config)
  const normalizer = backend.getNormalizer()
  refuseFatalTokens([...present, ...missing], (text) => normalizer?.normalizeString(text) ?? text)
  const decoders = decoderSteps(file['decoder'])
  const specials = [...present, ...missing].filter((entry) => entry.special)
  return {
    backend,
    specials,
    specialTexts: new Set(specials.map((entry) => entry.content)),
    hasByteFallback: decoders.some(({ type }) => type === 'ByteFallback'),
    isByteLevel: decoders.some(({ type }) => type === 'ByteLevel'),
    limits,
    rewritesSpaces: decoders.some(({ type, pattern }) => type === 'Replace' && isObject(pattern) && 'Regex' in pattern),
  }
}

/**
 * The file as it was understood here. Of two equal names in an object JSON.parse keeps the last and the library may take
 * both: it must not read what was not checked.
 */
function canonicalText(file: Record<string, unknown>): string {
  try {
    return JSON.stringify(file)
  } catch (cause) {
    throw new TandemError('invalid-file', 'tokenizer.json is nested too deep', { cause })
  }
}

function parseBackend(tokenizerJson: string): Backend {
  try {
    return Backend.fromString(tokenizerJson)
  } catch (cause) {
    throw new TandemError('invalid-file', 'tokenizer.json cannot be read', {
      received: (cause as Error).message.split('\n', 1).join(),
      cause,
    })
  }
}

/** Tokens of `tokenizer_config.json` that `tokenizer.json` lacks, in the order in which transformers adds them. */
function missingTokens(present: AddedTokenEntry[], config: TokenizerConfig): AddedTokenEntry[] {
  const known = new Set(present.map((entry) => JSON.stringify(entry)))
  const missing = config.addedTokens.filter((entry) => !known.has(JSON.stringify(entry)))
  const texts = new Set([...present, ...missing].map((entry) => entry.content))
  for (const content of [...Object.values(config.specialTokens), ...config.extraSpecialTokens]) {
    if (texts.has(content)) continue
    texts.add(content)
    missing.push({
      content,
      special: true,
      singleWord: false,
      leftStrip: false,
      rightStrip: false,
      normalized: false,
    })
  }
  return missing
}

function nativeToken({ content, special, ...options }: AddedTokenEntry): AddedToken {
  return new AddedToken(content, special, options)
}

/**
 * transformers 5 replaces the post-processor of the file as soon as the config mentions one of the two flags
 * (`TokenizersBackend.update_post_processor`).
 */
function replacePostProcessor(backend: Backend, { addBosToken, addEosToken, specialTokens }: TokenizerConfig): void {
  if (addBosToken === undefined && addEosToken === undefined) return
  const bos = addBosToken === true ? specialTokens.bos : undefined
  const eos = addEosToken === true ? specialTokens.eos : undefined
  const single = [bos, '$A', eos].filter((part) => part !== undefined).map((part) => `${part}:0`)
  const pair = [bos, '$B', eos].filter((part) => part !== undefined).map((part) => `${part}:1`)
  const used = [bos, eos].filter((token) => token !== undefined)
  const ids = used.map((token): [string, number] => [token, backend.tokenToId(token) ?? 0])
  try {
    backend.setPostProcessor(templateProcessing(single.join(' '), [...single, ...pair].join(' '), ids))
  } catch (cause) {
    throw new TandemError('invalid-file', 'tokenizer_config.json has a bos_token or eos_token that cannot be added', {
      expected: 'a token without spaces and colons',
      received: JSON.stringify(used),
      cause,
    })
  }
}

/** The steps of a decoder, however deep they are nested. */
function decoderSteps(decoder: unknown): Record<string, unknown>[] {
  if (!isObject(decoder)) return []
  return Array.isArray(decoder['decoders']) ? decoder['decoders'].flatMap(decoderSteps) : [decoder]
}
