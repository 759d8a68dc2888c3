import type { Side, SpecialTokenName } from './config.ts'
import type { DecodeStream } from './decode-stream.ts'
import type { ByteSpelling } from './stop-strings.ts'

/** How a text is turned into ids. */
export interface EncodeOptions {
  /** Add the tokens that the tokenizer puts around every text. Default true. */
  addSpecialTokens?: boolean
  /** Put the end-of-sequence token behind the text: ChatLM's tokenizer has no post-processor that would. Default false. */
  appendEos?: boolean
  /** Keep at most so many tokens, special tokens included. */
  maxLength?: number
}

/** How several texts are turned into rows of one length. */
export interface BatchEncodeOptions extends EncodeOptions {
  /** Side that is filled up to the longest text; default is the tokenizer's own. */
  paddingSide?: Side
}

/** A text as ids: three lists of one length. */
export interface EncodedText {
  /** From 0 to the vocabulary's end. */
  inputIds: number[]
  /** 1 for a token of the text, 0 for padding; as long as `inputIds`. */
  attentionMask: number[]
  /** The vocabulary's own spelling of each id. */
  tokens: string[]
}

/** How ids are turned into text. */
export interface DecodeOptions {
  /** Leave out tokens such as `[EOS]`. Default false. */
  skipSpecialTokens?: boolean
}

/** A part of a prompt: text, or a special token that whoever made the prompt has meant as one. */
export type PromptPart = string | { specialToken: string }

/**
 * Text to ids and back, whatever file the vocabulary came from. Special tokens that stand in a text become their ids.
 * Unpaired surrogates count as U+FFFD.
 */
export interface TextTokenizer extends AsyncDisposable {
  /** Ids from 0 up to here have a token; models are often wider. */
  readonly vocabularySize: number
  /** Side that batches are filled up on: `left` or `right`. */
  readonly paddingSide: Side
  /** How the vocabulary spells bytes that are no text by themselves. */
  readonly byteSpelling: ByteSpelling
  /** The named special tokens that there are, as text. */
  readonly specialTokens: Partial<Record<SpecialTokenName, string>>
  /** Id of a named special token, or `undefined`. */
  specialTokenId(name: SpecialTokenName): number | undefined
  /** Id of a token in the vocabulary's own spelling, or `undefined`. */
  tokenId(token: string): number | undefined
  /**
   * Encodes one text. Rejects with `invalid-argument` for anything that is not a string or is too long, `invalid-file`
   * for a text that the vocabulary cannot spell.
   */
  encode(text: string, options?: EncodeOptions): Promise<EncodedText>
  /** Splits a text at the special tokens in it. */
  splitAtSpecialTokens(text: string): PromptPart[]
  /** Replaces what is a special token in a text, or could become part of one beside other text. */
  replaceSpecialPieces(text: string, replace: (piece: string) => string): string
  /**
   * Encodes a prompt whose special tokens are known: a text is nothing but text, whatever it spells, and the text between
   * two special tokens is encoded as one piece. Adds no special tokens. Rejects as `encode` does.
   */
  encodeParts(parts: readonly PromptPart[]): Promise<EncodedText>
  /** Encodes texts and fills all to the length of the longest. Rows of `attentionMask` are 0 where a row is filled. */
  encodeBatch(texts: readonly string[], options?: BatchEncodeOptions): Promise<EncodedText[]>
  /**
   * Text of ids. Ids beyond the vocabulary have no text: models are wider than their tokenizers, and may emit them.
   * Throws `invalid-argument` for what is not an id at all.
   */
  decode(ids: readonly number[], options?: DecodeOptions): string
  /** The vocabulary's own spelling of each id, `undefined` beyond the vocabulary. */
  tokens(ids: readonly number[]): (string | undefined)[]
  /** Decodes ids one at a time; never emits half a character. */
  decodeStream(options?: DecodeOptions): DecodeStream
  /** Frees native memory where the tokenizer holds any; it answers `disposed` from then on. Idempotent. */
  dispose(): Promise<void>
}
