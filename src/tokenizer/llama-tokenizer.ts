import { TandemError } from '../errors.ts'
import type { Side, SpecialTokenName } from './config.ts'
import { DecodeStream } from './decode-stream.ts'
import { encodeBatch, requireIds, requireLength, requireSpecialToken, requireText } from './encoding.ts'
import { replaceSpecialPieces, splitAtSpecialTokens } from './plain-text.ts'
import type { ByteSpelling } from './stop-strings.ts'
import type {
  BatchEncodeOptions,
  DecodeOptions,
  EncodedText,
  EncodeOptions,
  PromptPart,
  TextTokenizer,
} from './text-tokenizer.ts'

/** What the tokenizer needs of llama.cpp. */
export interface LlamaVocabulary {
  readonly description: {
    vocabularySize: number
    /** Ids around every text, as the file wants them. */
    prefixIds: Int32Array
    suffixIds: Int32Array
    /** Tokens that a text for people leaves out. */
    specialIds: Int32Array
    /** Tokens that take the spaces on one side of them out of a text. */
    leftStrippingIds: Int32Array
    rightStrippingIds: Int32Array
  }
  /** Ids of a text, without prefix and suffix; special tokens in it are text unless `parseSpecial`. */
  tokenize(text: string, parseSpecial: boolean): Promise<Int32Array>
  /** UTF-8 of ids that are all in the vocabulary. */
  detokenize(ids: readonly number[]): Uint8Array
  dispose(): Promise<void>
}

/** What the metadata of a GGUF file says about its tokenizer. */
export interface LlamaTokenizerOptions {
  /** `tokenizer.ggml.tokens`: the spelling of each id; bytes where it is no UTF-8. */
  tokens: readonly (string | Uint8Array)[]
  specialTokenIds: Partial<Record<SpecialTokenName, number>>
  byteSpelling: ByteSpelling
}

/**
 * Text to ids and back as llama.cpp does it, for GGUF files that do not hold the tokenizer of Hugging Face. Where the two
 * differ, this is llama.cpp's answer.
 */
export class LlamaTokenizer implements TextTokenizer {
  readonly vocabularySize: number
  readonly byteSpelling: ByteSpelling
  /** GGUF files do not say; this is the default of transformers. */
  readonly paddingSide: Side = 'right'
  readonly #vocabulary: LlamaVocabulary
  readonly #tokens: LlamaTokenizerOptions['tokens']
  readonly #specialTokenIds: LlamaTokenizerOptions['specialTokenIds']
  readonly #specialIds: ReadonlySet<number>
  readonly #idsBySpecialText: ReadonlyMap<string, number>
  #idsByToken: ReadonlyMap<string, number> | undefined

  constructor(vocabulary: LlamaVocabulary, options: LlamaTokenizerOptions) {
    this.#vocabulary = vocabulary
    this.#tokens = options.tokens
    this.#specialTokenIds = options.specialTokenIds
    this.#specialIds = new Set(vocabulary.description.specialIds)
    const specials = [...this.#specialIds].map((id): [string, number] => [this.#spelling(id), id])
    this.#idsBySpecialText = new Map(specials.filter(([text]) => text !== ''))
    this.vocabularySize = vocabulary.description.vocabularySize
    this.byteSpelling = options.byteSpelling
  }

  get specialTokens(): Partial<Record<SpecialTokenName, string>> {
    const entries = Object.entries(this.#specialTokenIds).map(([name, id]) => [name, this.#spelling(id)])
    return Object.fromEntries(entries) as Partial<Record<SpecialTokenName, string>>
  }

  specialTokenId(name: SpecialTokenName): number | undefined {
    return this.#specialTokenIds[name]
  }

  tokenId(token: string): number | undefined {
    this.#idsByToken ??= new Map(this.#tokens.map((_, id) => [this.#spelling(id), id]))
    return this.#idsByToken.get(token)
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    requireText(text)
    const { addSpecialTokens = true, appendEos = false, maxLength } = options
    const { prefixIds, suffixIds } = this.#vocabulary.description
    const prefix = addSpecialTokens ? [...prefixIds] : []
    const suffix = addSpecialTokens ? [...suffixIds] : []
    if (appendEos) suffix.push(requireSpecialToken(this, 'eos', 'append the end of sequence').id)
    const room = maxLength === undefined ? undefined : requireLength(maxLength) - prefix.length - suffix.length
    const ids = Array.from(await this.#vocabulary.tokenize(text, true))
    const inputIds = [...prefix, ...(room === undefined ? ids : ids.slice(0, Math.max(room, 0))), ...suffix]
    return this.#encoded(inputIds)
  }

  splitAtSpecialTokens(text: string): PromptPart[] {
    return splitAtSpecialTokens(text, [...this.#idsBySpecialText.keys()])
  }

  replaceSpecialPieces(text: string, replace: (piece: string) => string): string {
    return replaceSpecialPieces(text, [...this.#idsBySpecialText.keys()], replace)
  }

  async encodeParts(parts: readonly PromptPart[]): Promise<EncodedText> {
    const encoded = await Promise.all(
      parts.map(async (part, i) => {
        if (typeof part === 'object') return [this.#specialId(part)]
        return [...(await this.#vocabulary.tokenize(this.#stripped(part, parts[i - 1], parts[i + 1]), false))]
      }),
    )
    return this.#encoded(encoded.flat())
  }

  encodeBatch(texts: readonly string[], options: BatchEncodeOptions = {}): Promise<EncodedText[]> {
    return encodeBatch(this, texts, options)
  }

  decode(ids: readonly number[], { skipSpecialTokens = false }: DecodeOptions = {}): string {
    requireIds(ids)
    const known = ids.filter((id) => id < this.vocabularySize)
    const shown = skipSpecialTokens ? known.filter((id) => !this.#specialIds.has(id)) : known
    // A byte order mark is a character of the text like any other.
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#vocabulary.detokenize(shown))
  }

  tokens(ids: readonly number[]): (string | undefined)[] {
    requireIds(ids)
    return ids.map((id) => (id < this.vocabularySize ? this.#spelling(id) : undefined))
  }

  decodeStream(options: DecodeOptions = {}): DecodeStream {
    return new DecodeStream({
      decode: (ids) => this.decode(ids, options),
      isUnfinished: (_, text) => text.endsWith('\uFFFD'),
    })
  }

  /** Frees the vocabulary; what is being encoded rejects with `disposed`, and so does everything afterwards. */
  dispose(): Promise<void> {
    return this.#vocabulary.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #encoded(inputIds: number[]): EncodedText {
    return { inputIds, attentionMask: inputIds.map(() => 1), tokens: inputIds.map((id) => this.#spelling(id)) }
  }

  #specialId({ specialToken }: Exclude<PromptPart, string>): number {
    const id = this.#idsBySpecialText.get(specialToken)
    if (id !== undefined) return id
    throw new TandemError('invalid-argument', 'A part of the prompt is no special token', { received: specialToken })
  }

  #stripped(text: string, before: PromptPart | undefined, after: PromptPart | undefined): string {
    const { leftStrippingIds, rightStrippingIds } = this.#vocabulary.description
    const strips = (ids: Int32Array, part: PromptPart | undefined) =>
      typeof part === 'object' && ids.includes(this.#specialId(part))
    const left = strips(rightStrippingIds, before) ? text.replace(/^[\t-\r ]+/, '') : text
    return strips(leftStrippingIds, after) ? left.replace(/(?<![\t-\r ])[\t-\r ]+$/, '') : left
  }

  #spelling(id: number): string {
    const token = this.#tokens[id] ?? ''
    return typeof token === 'string' ? token : new TextDecoder('utf-8', { ignoreBOM: true }).decode(token)
  }
}
