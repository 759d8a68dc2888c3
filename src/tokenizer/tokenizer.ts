import type { Tokenizer as Backend, Encoding } from 'tokenizers'
import { TandemError } from '../errors.ts'
import { type LoadedBackend, loadBackend } from './backend.ts'
import { parseTokenizerConfig, type Side, type SpecialTokenName, type TokenizerConfig } from './config.ts'
import { DecodeStream } from './decode-stream.ts'
import { type PromptPart, plainBackend, replaceSpecialPieces, splitAtSpecialTokens, stripped } from './plain-text.ts'
import type { ByteSpelling } from './stop-strings.ts'

export interface EncodeOptions {
  /** Apply the post-processor of `tokenizer.json`, if it has one. Default true. */
  addSpecialTokens?: boolean
  /** Put the end-of-sequence token behind the text: ChatLM's tokenizer has no post-processor that would. Default false. */
  appendEos?: boolean
  /** Keep at most so many tokens, special tokens included. */
  maxLength?: number
}

export interface BatchEncodeOptions extends EncodeOptions {
  /** Side that is filled up to the longest text; default is the tokenizer's own. */
  paddingSide?: Side
}

export interface EncodedText {
  inputIds: number[]
  /** 1 for a token of the text, 0 for padding; as long as `inputIds`. */
  attentionMask: number[]
  /** The vocabulary's own spelling of each id. */
  tokens: string[]
}

export interface DecodeOptions {
  /** Leave out tokens such as `[EOS]`. Default false. */
  skipSpecialTokens?: boolean
}

/** How `ByteFallback` spells a byte. */
const BYTE_TOKEN = /^<0x[0-9A-Fa-f]{2}>$/

/**
 * Text to ids and back, as `transformers` 5 does it, over the Rust library that `transformers` itself uses.
 * Unpaired surrogates count as U+FFFD.
 */
export class Tokenizer {
  /** Ids from 0 up to here have a token; models are often wider. */
  readonly vocabularySize: number
  readonly paddingSide: Side
  readonly #loaded: LoadedBackend
  readonly #tokenizerJson: string
  /** Made when first needed: hardly any text spells a special token. */
  #plain: Backend | undefined
  readonly #config: TokenizerConfig | undefined

  /**
   * Takes the texts of `tokenizer.json` and, if there is one, `tokenizer_config.json`.
   * Throws `invalid-file` when they are not what they should be.
   */
  constructor(tokenizerJson: string, tokenizerConfig?: string) {
    this.#config = tokenizerConfig === undefined ? undefined : parseTokenizerConfig(tokenizerConfig)
    this.#loaded = loadBackend(tokenizerJson, this.#config)
    this.#tokenizerJson = tokenizerJson
    this.vocabularySize = this.#loaded.backend.getVocabSize(true)
    this.paddingSide = this.#config?.paddingSide ?? 'right'
  }

  /** The named special tokens that the config defines, as text. */
  get specialTokens(): Partial<Record<SpecialTokenName, string>> {
    return { ...this.#config?.specialTokens }
  }

  /** How the vocabulary spells bytes; a decoder that knows both ways means the second. */
  get byteSpelling(): ByteSpelling {
    if (this.#loaded.hasByteFallback) return 'byte-fallback'
    return this.#loaded.isByteLevel ? 'byte-level' : undefined
  }

  /** Id of a named special token, or `undefined`. */
  specialTokenId(name: SpecialTokenName): number | undefined {
    const token = this.#config?.specialTokens[name]
    return token === undefined ? undefined : this.tokenId(token)
  }

  /** Id of a token in the vocabulary's own spelling, or `undefined`. */
  tokenId(token: string): number | undefined {
    return this.#loaded.backend.tokenToId(token) ?? undefined
  }

  /** Encodes one text. Throws `invalid-argument` for anything that is not a string. */
  async encode(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    if (typeof text !== 'string') {
      throw new TandemError('invalid-argument', 'Only text can be encoded', {
        expected: 'a string',
        received: text === null ? 'null' : typeof text,
      })
    }
    requireAtMost(this.#loaded.limits.encoded, text.length, 'The text is too long to be encoded')
    const { addSpecialTokens = true, appendEos = false, maxLength } = options
    const eos = appendEos ? this.#requireSpecialToken('eos', 'append the end of sequence') : undefined
    const room = maxLength === undefined ? undefined : requireLength(maxLength) - (eos === undefined ? 0 : 1)
    const encoding = await this.#encodeWithin(text, addSpecialTokens, room)
    const inputIds = encoding.getIds()
    const tokens = encoding.getTokens()
    if (eos !== undefined) {
      inputIds.push(eos.id)
      tokens.push(eos.token)
    }
    return { inputIds, attentionMask: inputIds.map(() => 1), tokens }
  }

  /** Splits a text at the special tokens in it. */
  splitAtSpecialTokens(text: string): PromptPart[] {
    return splitAtSpecialTokens(text, this.#specialTexts)
  }

  /** Replaces what is a special token in a text, or could become part of one beside other text. */
  replaceSpecialPieces(text: string, replace: (piece: string) => string): string {
    return replaceSpecialPieces(text, this.#specialTexts, replace)
  }

  /**
   * Encodes a prompt whose special tokens are known: a text is nothing but text, whatever it spells, and the text between
   * two special tokens is encoded as one piece. Adds no special tokens.
   */
  async encodeParts(parts: readonly PromptPart[]): Promise<EncodedText> {
    const encoded = await Promise.all(parts.map((part, i) => this.#encodePart(part, parts[i - 1], parts[i + 1])))
    const inputIds = encoded.flatMap((part) => part.inputIds)
    return { inputIds, attentionMask: inputIds.map(() => 1), tokens: encoded.flatMap((part) => part.tokens) }
  }

  get #specialTexts(): string[] {
    return [...this.#loaded.specialTexts].filter((text) => text !== '')
  }

  async #encodePart(part: PromptPart, before: PromptPart | undefined, after: PromptPart | undefined) {
    if (typeof part === 'object') {
      return { inputIds: [this.tokenId(part.specialToken) ?? 0], tokens: [part.specialToken] }
    }
    const entry = (neighbour: PromptPart | undefined) =>
      typeof neighbour === 'object'
        ? this.#loaded.specials.find(({ content }) => content === neighbour.specialToken)
        : undefined
    requireAtMost(this.#loaded.limits.encoded, part.length, 'The text is too long to be encoded')
    this.#plain ??= plainBackend(this.#tokenizerJson, this.#loaded.specials)
    const text = stripped(part, entry(before), entry(after))
    const encoding = await this.#plain.encode(text, null, { addSpecialTokens: false }).catch(unencodable)
    return { inputIds: encoding.getIds(), tokens: encoding.getTokens() }
  }

  /** Encodes texts and fills all to the length of the longest. Rows of `attentionMask` are 0 where a row is filled. */
  async encodeBatch(texts: readonly string[], options: BatchEncodeOptions = {}): Promise<EncodedText[]> {
    const { paddingSide = this.paddingSide, ...encodeOptions } = options
    const encoded = await Promise.all(texts.map((text) => this.encode(text, encodeOptions)))
    const width = encoded.reduce((longest, { inputIds }) => Math.max(longest, inputIds.length), 0)
    if (encoded.every(({ inputIds }) => inputIds.length === width)) return encoded
    const pad = this.#requireSpecialToken('pad', 'fill texts of unequal length')
    return encoded.map((row) => {
      const missing = width - row.inputIds.length
      const fill = <T>(values: T[], value: T): T[] => {
        const filling = new Array<T>(missing).fill(value)
        return paddingSide === 'left' ? [...filling, ...values] : [...values, ...filling]
      }
      return {
        inputIds: fill(row.inputIds, pad.id),
        attentionMask: fill(row.attentionMask, 0),
        tokens: fill(row.tokens, pad.token),
      }
    })
  }

  /**
   * Text of ids. Ids beyond the vocabulary have no text: models are wider than their tokenizers, and may emit them.
   * Throws `invalid-argument` for what is not an id at all.
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const tokens = this.#textTokens(ids, options)
    const length = tokens.reduce((sum, token) => sum + token.length, 0)
    requireAtMost(this.#loaded.limits.decoded, length, 'The text of these ids is too long to be decoded at once')
    const decoder = this.#loaded.backend.getDecoder()
    return decoder === null ? tokens.join(' ') : decoder.decode(tokens)
  }

  /** The vocabulary's own spelling of each id, `undefined` beyond the vocabulary. */
  tokens(ids: readonly number[]): (string | undefined)[] {
    return ids.map((id) => {
      if (!Number.isSafeInteger(id) || id < 0) {
        throw new TandemError('invalid-argument', 'A token id is not an id', {
          expected: 'an integer of at least 0',
          received: String(id),
        })
      }
      // The native call takes 32 bits and would wrap a larger number around.
      return id > 0xffffffff ? undefined : (this.#loaded.backend.idToToken(id) ?? undefined)
    })
  }

  /** Decodes ids one at a time; never emits half a character. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    const { hasByteFallback, rewritesSpaces } = this.#loaded
    return new DecodeStream({
      decode: (ids) => this.decode(ids, options),
      isUnfinished: (ids, text) =>
        text.endsWith('\uFFFD') ||
        (rewritesSpaces && text.endsWith(' ')) ||
        // One more byte can spoil a whole run of them.
        (hasByteFallback && BYTE_TOKEN.test(this.#textTokens(ids, options).at(-1) ?? '')),
    })
  }

  /** Tokens that have a part in the text of ids. */
  #textTokens(ids: readonly number[], { skipSpecialTokens = false }: DecodeOptions): string[] {
    const { specialTexts } = this.#loaded
    return this.tokens(ids)
      .filter((token) => token !== undefined)
      .filter((token) => !(skipSpecialTokens && specialTexts.has(token)))
  }

  async #encodeWithin(text: string, addSpecialTokens: boolean, room: number | undefined): Promise<Encoding> {
    const { backend } = this.#loaded
    try {
      if (room === undefined) return await backend.encode(text, null, { addSpecialTokens })
      // Truncation by the library is a setting of the whole tokenizer, so two calls at once would disturb each other.
      const specials = addSpecialTokens ? (await backend.encode('', null, { addSpecialTokens })).getLength() : 0
      const encoding = await backend.encode(text, null, { addSpecialTokens: false })
      encoding.truncate(Math.max(room - specials, 0), 0, this.#config?.truncationSide ?? 'right')
      return addSpecialTokens ? backend.postProcess(encoding, null, true) : encoding
    } catch (cause) {
      return unencodable(cause)
    }
  }

  #requireSpecialToken(name: SpecialTokenName, purpose: string): { id: number; token: string } {
    const token = this.#config?.specialTokens[name]
    const id = token === undefined ? undefined : this.tokenId(token)
    if (token === undefined || id === undefined) {
      throw new TandemError('unsupported-model', `The tokenizer has no ${name} token to ${purpose} with`, {
        remedy: `Name one as ${name}_token in tokenizer_config.json`,
      })
    }
    return { id, token }
  }
}

function unencodable(cause: unknown): never {
  const { message } = cause as Error
  throw new TandemError('invalid-file', 'The tokenizer cannot encode this text', { received: message, cause })
}

function requireAtMost(limit: number, length: number, problem: string): void {
  if (length <= limit) return
  throw new TandemError('invalid-argument', problem, { expected: `at most ${limit} characters`, received: `${length}` })
}

function requireLength(maxLength: number): number {
  if (Number.isSafeInteger(maxLength) && maxLength > 0) return maxLength
  throw new TandemError('invalid-argument', 'A text cannot be cut to this maxLength', {
    expected: 'an integer above 0',
    received: String(maxLength),
  })
}
