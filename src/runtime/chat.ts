import { CausalDecoder } from '../generation/causal.ts'
import type { Prompt } from '../generation/decoder.ts'
import type { GenerationConfig } from '../generation/options.ts'
import type { Engine } from '../native/model.ts'
import type { ConvertedModel } from './converted-model.ts'
import { checkedPrompt, type EncodedInput } from './input.ts'
import { LanguageModel, type ModelDefaults } from './language-model.ts'

/** A decoder-only model: continues a text or answers in a chat (Qwen2). */
export class ChatModel extends LanguageModel {
  readonly kind = 'decoder-only'

  constructor(file: ConvertedModel, engine: Engine, options: ModelDefaults & { loadMs: number }) {
    super({ ...options, file, engine, decoder: new CausalDecoder(engine) })
  }

  protected override promptOf(encoded: EncodedInput, config: GenerationConfig): Prompt {
    const attentionMask = encoded.attentionMask ?? inferredMask(encoded.inputIds, config)
    return checkedPrompt({ ...encoded, attentionMask }, this.decoder.vocabularySize)
  }
}

/** Without a mask transformers takes the pad id for padding, unless it ends texts as well (as Qwen2.5's does). */
function inferredMask(inputIds: readonly number[], { padTokenId, eosTokenIds }: GenerationConfig): number[] {
  const isPadding = padTokenId !== undefined && !eosTokenIds.includes(padTokenId)
  return inputIds.map((id) => (isPadding && id === padTokenId ? 0 : 1))
}
