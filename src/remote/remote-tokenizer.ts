import type { ModelTokenizer } from '../runtime/generative-model.ts'
import type { BatchEncodeOptions, DecodeOptions, EncodedText, EncodeOptions } from '../tokenizer/text-tokenizer.ts'
import type { Connection } from './connection.ts'
import type { ModelDescription } from './protocol.ts'

/** The tokenizer of a model in an engine. It lives as long as the model. */
export class RemoteTokenizer implements ModelTokenizer {
  readonly vocabularySize: number
  readonly specialTokens: ModelTokenizer['specialTokens']
  readonly #connection: Connection
  readonly #model: number

  constructor(connection: Connection, model: number, { vocabularySize, specialTokens }: ModelDescription['tokenizer']) {
    this.#connection = connection
    this.#model = model
    this.vocabularySize = vocabularySize
    this.specialTokens = specialTokens
  }

  encode(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    return this.#connection.call('encodeText', { model: this.#model, text, options }).answer
  }

  encodeBatch(texts: readonly string[], options: BatchEncodeOptions = {}): Promise<EncodedText[]> {
    return this.#connection.call('encodeBatch', { model: this.#model, texts, options }).answer
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): Promise<string> {
    return this.#connection.call('decode', { model: this.#model, ids, options }).answer
  }

  tokens(ids: readonly number[]): Promise<(string | undefined)[]> {
    return this.#connection.call('tokens', { model: this.#model, ids }).answer
  }
}
