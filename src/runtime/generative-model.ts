import type { GenerationConfig, GenerationOptions } from '../generation/options.ts'
import type { ChatMessage } from '../template/messages.ts'
import type {
  BatchEncodeOptions,
  DecodeOptions,
  EncodedText,
  EncodeOptions,
  TextTokenizer,
} from '../tokenizer/text-tokenizer.ts'
import type { Conversation, ConversationOptions } from './conversation.ts'
import type { GenerationEvent, GenerationResult } from './generation-run.ts'
import type { GenerationStream } from './generation-stream.ts'
import type { EncodedInput, GenerationInput, InputOptions } from './input.ts'

/** Options of one generation: Hugging Face's, how to read the input, and how to follow it. */
export type GenerateOptions = GenerationOptions &
  InputOptions & {
    signal?: AbortSignal
    /** Called after each step: with every token, or with the best beams so far. What it throws ends the generation. */
    onStep?: (event: GenerationEvent) => void
  }

/**
 * A model that is ready to generate, in this process or in another. What it can answer at once in this process it may
 * answer with a promise elsewhere: `await` takes both.
 */
export interface GenerativeModel extends AsyncDisposable {
  readonly kind: 'encoder-decoder' | 'decoder-only'
  /** Device that computes: `CPU`, `CUDA0`, … */
  readonly device: string
  /** Tokens that a prompt and its text may have together: what the model was trained for, and what was made room for. */
  readonly contextSize: number
  /** Milliseconds from the call of `load` to a model that is ready. */
  readonly loadMs: number
  readonly tokenizer: ModelTokenizer
  /**
   * Generates one text. Rejects with `invalid-argument`, `unsupported-option`, `context-full`, `aborted` (the signal),
   * `disposed` (the model), `engine-crashed` (where it runs in another process) or what the engine reports.
   */
  generate(input: GenerationInput, options?: GenerateOptions): Promise<GenerationResult>
  /** Generates one text in pieces; see {@link GenerationStream}. */
  stream(input: GenerationInput, options?: GenerateOptions): GenerationStream
  /** Answers a chat. */
  chat(input: string | readonly ChatMessage[], options?: GenerateOptions): GenerationStream
  /** Begins a chat of several turns. An encoder-decoder answers each of its messages by itself. */
  converse(options?: ConversationOptions): Conversation
  /** Turns a text into ids. */
  tokenize(text: string, options?: EncodeOptions): Promise<EncodedText>
  /** What `generate` would read for an input: the text after the chat template, if there is one, and its ids. */
  encode(input: GenerationInput, options?: InputOptions): Promise<EncodedInput>
  /** The options that a call with these would run under; throws, or rejects with, what such a call would. */
  resolve(options: GenerationOptions): GenerationConfig | Promise<GenerationConfig>
  /** Ends what is running, frees the weights and the thread. Idempotent. */
  dispose(): Promise<void>
}

/** What a model's tokenizer answers wherever the model is; in this process it is a whole `TextTokenizer`. */
export interface ModelTokenizer {
  /** Ids from 0 up to here have a token; models are often wider. */
  readonly vocabularySize: number
  /** The named special tokens that there are, as text. */
  readonly specialTokens: TextTokenizer['specialTokens']
  encode(text: string, options?: EncodeOptions): Promise<EncodedText>
  encodeBatch(texts: readonly string[], options?: BatchEncodeOptions): Promise<EncodedText[]>
  decode(ids: readonly number[], options?: DecodeOptions): string | Promise<string>
  /** The vocabulary's own spelling of each id, `undefined` beyond the vocabulary. */
  tokens(ids: readonly number[]): (string | undefined)[] | Promise<(string | undefined)[]>
}

/** Options of the search alone: without those that say how to read the input and how to follow the run. */
export function generationOptions(options: GenerateOptions): GenerationOptions {
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

/** Those that say how to read the input. */
export function inputOptions({ appendEos, addGenerationPrompt, tools }: GenerateOptions): InputOptions {
  return {
    ...(appendEos === undefined ? {} : { appendEos }),
    ...(addGenerationPrompt === undefined ? {} : { addGenerationPrompt }),
    ...(tools === undefined ? {} : { tools }),
  }
}
