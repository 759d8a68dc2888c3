import { TandemError } from '../errors.ts'
import type { Engine } from '../native/model.ts'
import type { Prompt } from './decoder.ts'
import { EngineDecoder, EngineState } from './engine-decoder.ts'

/**
 * Encoder-decoder models: the encoder reads the source once, its cross-attention keys and values stay with the engine,
 * and the decoder starts from one token.
 */
export class Seq2SeqDecoder extends EngineDecoder {
  readonly #decoderStartTokenId: number

  constructor(engine: Engine, decoderStartTokenId: number) {
    super(engine)
    this.#decoderStartTokenId = decoderStartTokenId
  }

  async start({ inputIds, attentionMask }: Prompt, signal?: AbortSignal): Promise<EngineState> {
    if (inputIds.length === 0) {
      throw new TandemError('invalid-argument', 'The encoder needs at least one token', {
        received: 'an empty input',
        remedy: 'Give a text, or append the end token (--append-eos)',
      })
    }
    const sequence = this.engine.takeSequence()
    try {
      const source = await this.engine.encode(inputIds, attentionMask, signal)
      return new EngineState([this.#decoderStartTokenId], { padding: 0, source, sequence })
    } catch (error) {
      await this.engine.release([sequence], [])
      throw error
    }
  }
}
