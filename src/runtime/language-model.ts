import { TandemError } from '../errors.ts'
import type { Decoder, Prompt } from '../generation/decoder.ts'
import type { EngineDecoder } from '../generation/engine-decoder.ts'
import { KeptPastDecoder } from '../generation/kept-past.ts'
import { lengthLimit } from '../generation/lengths.ts'
import type { GenerationConfig, GenerationOptions } from '../generation/options.ts'
import { resolveGeneration } from '../generation/resolve.ts'
import type { Engine } from '../native/model.ts'
import type { ChatMessage } from '../template/messages.ts'
import { stopStringMatcher } from '../tokenizer/stop-strings.ts'
import type { EncodedText, EncodeOptions, TextTokenizer } from '../tokenizer/text-tokenizer.ts'
import { answerOnce, Conversation, type ConversationModel, type ConversationOptions } from './conversation.ts'
import type { ConvertedModel } from './converted-model.ts'
import { type GenerationResult, GenerationRun, type PreparedRequest } from './generation-run.ts'
import { type GenerationStream, startStream } from './generation-stream.ts'
import { type GenerateOptions, type GenerativeModel, generationOptions } from './generative-model.ts'
import {
  checkedPrompt,
  type EncodedInput,
  encodeInput,
  type GenerationInput,
  type InputOptions,
  requireRoom,
  requireRunOptions,
} from './input.ts'

export type { GenerateOptions } from './generative-model.ts'

/** Where generation options come from beside the call. */
export interface ModelDefaults {
  /** A `generation_config.json` that goes before the model's own. */
  generationConfig?: object | undefined
  /** False: of the model's own `generation_config.json` only the special token ids count. Default true. */
  modelDefaults?: boolean | undefined
}

/** Parts of a loaded model; it owns the engine. */
export interface ModelParts extends ModelDefaults {
  file: ConvertedModel
  engine: Engine
  decoder: EngineDecoder
  loadMs: number
}

const SPECIAL_TOKEN_IDS = ['bos_token_id', 'eos_token_id', 'pad_token_id', 'decoder_start_token_id']

/**
 * A model that is ready to generate. Calls may overlap; each is computed as if it were alone. Dispose of it, or declare
 * it with `await using`, to free its memory and its thread.
 */
export abstract class LanguageModel implements GenerativeModel {
  /** Which of the two kinds it is: of a {@link Text2TextModel} or a {@link ChatModel}. */
  abstract readonly kind: GenerativeModel['kind']
  /** What the GGUF file says. */
  readonly file: ConvertedModel
  /** For searches of one's own and for measurements. */
  readonly decoder: EngineDecoder
  readonly #parts: ModelParts
  #isDisposed = false

  constructor(parts: ModelParts) {
    this.#parts = parts
    this.file = parts.file
    this.decoder = parts.decoder
  }

  /** Text to ids and back, at once. */
  get tokenizer(): TextTokenizer {
    return this.file.tokenizer
  }

  get device(): string {
    return this.#parts.engine.description.device
  }

  get contextSize(): number {
    const { contextSize, description } = this.#parts.engine
    return description.maxPositions > 0 ? Math.min(contextSize, description.maxPositions) : contextSize
  }

  get loadMs(): number {
    return this.#parts.loadMs
  }

  async generate(input: GenerationInput, options: GenerateOptions = {}): Promise<GenerationResult> {
    return this.stream(input, options)
  }

  stream(input: GenerationInput, options: GenerateOptions = {}): GenerationStream {
    requireRunOptions(options)
    return startStream(
      this.run(
        async () => input,
        () => options,
      ),
    )
  }

  chat(input: string | readonly ChatMessage[], options: GenerateOptions = {}): GenerationStream {
    return answerOnce(this.#conversationModel(undefined), input, options)
  }

  converse(options: ConversationOptions = {}): Conversation {
    return new Conversation(this.#conversationModel(this.keepPast()), options)
  }

  #conversationModel(past: KeptPastDecoder | undefined): ConversationModel {
    return {
      contextSize: this.contextSize,
      hasTurns: this.kind === 'decoder-only',
      encode: (input, options) => this.encode(input, options),
      run: (input, generate) => this.run(input, generate, past),
      lengths: async (options) => this.resolve(generationOptions(options)),
      release: async () => past?.release(),
    }
  }

  /** A decoder that reads only what is new in each of its prompts; undefined for an encoder, which reads all of it. */
  keepPast(): KeptPastDecoder | undefined {
    return this.kind === 'decoder-only' ? new KeptPastDecoder(this.decoder) : undefined
  }

  /** A generation that has not begun. Input and options are asked for when it does, but for those that follow it. */
  run(
    input: () => Promise<GenerationInput>,
    options: () => GenerateOptions,
    decoder: Decoder = this.decoder,
  ): GenerationRun {
    const environment = {
      decoder,
      tokenizer: this.tokenizer,
      readsPromptInFirstStep: this.kind === 'decoder-only',
      loadMs: this.#parts.loadMs,
    }
    const prepare = async (): Promise<PreparedRequest> => {
      if (this.#isDisposed) throw new TandemError('disposed', 'The model is disposed', { remedy: 'Load it again' })
      const read = await input()
      const config = this.resolve(generationOptions(options()))
      const encoded = await this.encode(read, options())
      const prompt = this.promptOf(encoded, config)
      requireRoom(prompt, this.contextSize)
      // Before any work: an encoder may take long.
      lengthLimit(config, this.kind === 'encoder-decoder' ? 1 : prompt.inputIds.length)
      const { stopStrings } = config
      const completesStopString =
        stopStrings.length === 0 ? undefined : await stopStringMatcher(this.tokenizer, stopStrings)
      return { prompt, text: encoded.text, config, completesStopString }
    }
    const { signal, onStep } = options()
    return new GenerationRun(environment, prepare, { signal, onStep })
  }

  encode(input: GenerationInput, options: InputOptions = {}): Promise<EncodedInput> {
    return encodeInput(input, options, this.file)
  }

  tokenize(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    return this.tokenizer.encode(text, options)
  }

  /** The options that a call with these would run under, at once; throws what such a call would reject with. */
  resolve(options: GenerationOptions): GenerationConfig {
    const { file, generationConfig, modelDefaults = true } = this.#parts
    const model = modelDefaults
      ? file.generationConfig
      : Object.fromEntries(SPECIAL_TOKEN_IDS.map((name) => [name, file.generationConfig[name]]))
    const maxPositions = file.config['max_position_embeddings']
    return resolveGeneration({
      call: options,
      model,
      vocabularySize: this.decoder.vocabularySize,
      ...(generationConfig === undefined ? {} : { config: generationConfig }),
      ...(typeof maxPositions === 'number' ? { maxPositions } : {}),
    })
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true
    await this.#parts.engine.dispose()
    await this.tokenizer.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  /** What the decoder gets for an input; the two kinds of models read padding differently. */
  protected promptOf(encoded: EncodedInput, _config: GenerationConfig): Prompt {
    return checkedPrompt(encoded, this.decoder.vocabularySize)
  }
}
