import { TandemError } from '../errors.ts'
import { Seq2SeqDecoder } from '../generation/seq2seq.ts'
import type { Engine } from '../native/model.ts'
import type { ConvertedModel } from './converted-model.ts'
import { LanguageModel, type ModelDefaults } from './language-model.ts'

/** An encoder-decoder model: reads a text once and writes another (T5, ChatLM). */
export class Text2TextModel extends LanguageModel {
  readonly kind = 'encoder-decoder'

  constructor(file: ConvertedModel, engine: Engine, options: ModelDefaults & { loadMs: number }) {
    super({ ...options, file, engine, decoder: new Seq2SeqDecoder(engine, decoderStartTokenId(file)) })
  }
}

/** The decoder's first token; `bos_token_id` takes its place, as in transformers. */
function decoderStartTokenId({ generationConfig }: ConvertedModel): number {
  const id = generationConfig['decoder_start_token_id'] ?? generationConfig['bos_token_id']
  if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id
  throw new TandemError('unsupported-model', 'The model does not say what its decoder starts with', {
    expected: 'decoder_start_token_id or bos_token_id in generation_config.json',
    received: JSON.stringify(id) ?? 'neither',
  })
}
