import { TandemError } from '../errors.ts'
import type { Decoder, Prompt } from '../generation/decoder.ts'
import type { EngineDecoder } from '../generation/engine-decoder.ts'
import { KeptPastDecoder } from '../generation/kept-past.ts'
import { lengthLimit } from '../generation/lengths.ts'
import type { GenerationConfig, GenerationOptions } from '../generation/options.ts'
import { resolveGeneration } from '../generation/resolve.ts'
import type { Engine } from '../native/model.ts'
import { stopStringMatcher } from '../tokenizer/stop-strings.ts'
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts'
import { Conversation, type ConversationModel, type ConversationOptions } from './conversation.ts'
import type { ConvertedModel } from './converted-model.ts'
import { type GenerationEvent, type GenerationResult, GenerationRun, type PreparedRequest } from './generation-run.ts'
import { type GenerationStream, startStream } from './generation-stream.ts'
import {
  checkedPrompt,
  type EncodedInput,
  encodeInput,
  type GenerationInput,
  type InputOptions,
  requireRoom,
  requireRunOptions,
} from './input.ts'

/** Options of one generation: Hugging Face's, how to read the input, and how to follow it. */
export type GenerateOptions = GenerationOptions &
  InputOptions & {
    signal?: AbortSignal
    /** Called after each step: with every token, or with the best beams so far. What it throws ends the generation. */
    onStep?: (event: GenerationEvent) => void
  }

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
export abstract class LanguageModel implements AsyncDisposable {
  abstract readonly kind: 'encoder-decoder' | 'decoder-only'
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

  get tokenizer(): TextTokenizer {
    return this.file.tokenizer
  }

  /** Device that computes: `CPU`, `CUDA0`, … */
  get device(): string {
    return this.#parts.engine.description.device
  }

  /** Tokens that a prompt and its text may have together: what the model was trained for, and what was made room for. */
  get contextSize(): number {
    const { contextSize, description } = this.#parts.engine
    return description.maxPositions > 0 ? Math.min(contextSize, description.maxPositions) : contextSize
  }

  /** Milliseconds from the call of `load` to a model that is ready. */
  get loadMs(): number {
    return this.#parts.loadMs
  }

  /**
   * Generates one text. Rejects with `invalid-argument`, `unsupported-option`, `context-full`, `aborted` (the signal),
   * `disposed` (the model) or what the engine reports.
   */
  async generate(input: GenerationInput, options: GenerateOptions = {}): Promise<GenerationResult> {
    return this.stream(input, options)
  }

  /** Generates one text in pieces; see {@link GenerationStream}. */
  stream(input: GenerationInput, options: GenerateOptions = {}): GenerationStream {
    requireRunOptions(options)
    return startStream(
      this.#run(
        async () => input,
        () => options,
        this.decoder,
      ),
    )
  }

  /** Begins a chat of several turns. An encoder-decoder answers each of its messages by itself. */
  converse(options: ConversationOptions = {}): Conversation {
    const hasTurns = this.kind === 'decoder-only'
    const kept = hasTurns ? new KeptPastDecoder(this.decoder) : undefined
    const model: ConversationModel = {
      contextSize: this.contextSize,
      hasTurns,
      encode: (input) => this.encode(input),
      run: (input, generate) =>
        // ChatLM's own program ends every message with its end token.
        this.#run(input, () => ({ ...(hasTurns ? {} : { appendEos: true }), ...generate() }), kept ?? this.decoder),
      maxNewTokens: (options) => this.resolve(generationOptions(options)).maxNewTokens,
      release: async () => kept?.release(),
    }
    return new Conversation(model, options)
  }

  #run(input: () => Promise<GenerationInput>, options: () => GenerateOptions, decoder: Decoder): GenerationRun {
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

  /** What `generate` would read for an input: the text after the chat template, if there is one, and its ids. */
  encode(input: GenerationInput, options: InputOptions = {}): Promise<EncodedInput> {
    return encodeInput(input, options, this.file)
  }

  /** The options that a call with these would run under; throws what such a call would throw. */
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

  /** Ends what is running, frees the weights and the thread. Idempotent. */
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

/** Options of the search alone: without those that say how to read the input and how to follow the run. */
function generationOptions(options: GenerateOptions): GenerationOptions {
  const {
    signal: _signal,
    onStep: _step,
    appendEos: _eos,
    addGenerationPrompt: _prompt,
    tools: _tools,
    ...rest
  } = options
  return rest as GenerationOptions
}
