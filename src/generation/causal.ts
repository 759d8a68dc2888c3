import { TandemError } from '../errors.ts'
import type { Prompt } from './decoder.ts'
import { EngineDecoder, EngineState } from './engine-decoder.ts'

/** Decoder-only models: the prompt is the decoder's own past, computed in the first step. */
export class CausalDecoder extends EngineDecoder {
  async start({ inputIds, attentionMask }: Prompt): Promise<EngineState> {
    const first = attentionMask.indexOf(1)
    if (first < 0) {
      throw new TandemError('invalid-argument', 'A decoder-only model needs at least one token', {
        received: inputIds.length === 0 ? 'an empty prompt' : 'a prompt of padding only',
      })
    }
    if (attentionMask.includes(0, first)) {
      throw new TandemError('invalid-argument', 'A decoder-only prompt can be padded on its left side only', {
        received: `padding at position ${attentionMask.indexOf(0, first)}, after a token`,
      })
    }
    return new EngineState(inputIds, { padding: first, source: -1, sequence: this.engine.takeSequence() })
  }
}
