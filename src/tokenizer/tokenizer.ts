import type { Tokenizer as Backend, Encoding } from 'tokenizers'
import { TandemError } from '../errors.ts'
import { type LoadedBackend, loadBackend } from './backend.ts'
import { parseTokenizerConfig, type Side, type SpecialTokenName, type TokenizerConfig } from './config.ts'
import { DecodeStream } from './decode-stream.ts'
import { encodeBatch, requireAtMost, requireIds, requireLength, requireSpecialToken, requireText } from './encoding.ts'
import { plainBackend, replaceSpecialPieces, splitAtSpecialTokens, stripped } from './plain-text.ts'
import type { ByteSpelling } from './stop-strings.ts'
import type {
  BatchEncodeOptions,
  DecodeOptions,
  EncodedText,
  EncodeOptions,
  PromptPart,
  TextTokenizer,
} from './text-tokenizer.ts'

/** How `ByteFallback` spells a byte. */
const BYTE_TOKEN = /^<0x[0-9A-Fa-f]{2}>$/

/** Text to ids and back, as `transformers` 5 does it, over the Rust library that `transformers` itself uses. */
export class Tokenizer implements TextTokenizer {
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

  get specialTokens(): Partial<Record<SpecialTokenName, string>> {
    return { ...this.#config?.specialTokens }
  }

  /** How the vocabulary spells bytes; a decoder that knows both ways means the second. */
  get byteSpelling(): ByteSpelling {
    if (this.#loaded.hasByteFallback) return 'byte-fallback'
    return this.#loaded.isByteLevel ? 'byte-level' : undefined
  }

  specialTokenId(name: SpecialTokenName): number | undefined {
    const token = this.#config?.specialTokens[name]
    return token === undefined ? undefined : this.tokenId(token)
  }

  tokenId(token: string): number | undefined {
    return this.#loaded.backend.tokenToId(token) ?? undefined
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    requireText(text)
    requireAtMost(this.#loaded.limits.encoded, text.length, 'The text is too long to be encoded')
    const { addSpecialTokens = true, appendEos = false, maxLength } = options
    const eos = appendEos ? requireSpecialToken(this, 'eos', 'append the end of sequence') : undefined
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

  splitAtSpecialTokens(text: string): PromptPart[] {
    return splitAtSpecialTokens(text, this.#specialTexts)
  }

  replaceSpecialPieces(text: string, replace: (piece: string) => string): string {
    return replaceSpecialPieces(text, this.#specialTexts, replace)
  }

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

  encodeBatch(texts: readonly string[], options: BatchEncodeOptions = {}): Promise<EncodedText[]> {
    return encodeBatch(this, texts, options)
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const tokens = this.#textTokens(ids, options)
    const length = tokens.reduce((sum, token) => sum + token.length, 0)
    requireAtMost(this.#loaded.limits.decoded, length, 'The text of these ids is too long to be decoded at once')
    const decoder = this.#loaded.backend.getDecoder()
    return decoder === null ? tokens.join(' ') : decoder.decode(tokens)
  }

  tokens(ids: readonly number[]): (string | undefined)[] {
    requireIds(ids)
    // The native call takes 32 bits and would wrap a larger number around.
    return ids.map((id) => (id > 0xffffffff ? undefined : (this.#loaded.backend.idToToken(id) ?? undefined)))
  }

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

  /** Does nothing: the library frees its memory when the tokenizer is collected, and it goes on until then. */
  async dispose(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

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
}

function unencodable(cause: unknown): never {
  const { message } = cause as Error
  throw new TandemError('invalid-file', 'The tokenizer cannot encode this text', { received: message, cause })
}
