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
    /** Ends the generation, which rejects with `aborted` and the signal's reason as `cause`. */
    signal?: AbortSignal
    /** Called after each step: with every token, or with the best beams so far. What it throws ends the generation. */
    onStep?: (event: GenerationEvent) => void
  }

/**
 * A model that is ready to generate, in this process or in another. What it can answer at once in this process it may
 * answer with a promise elsewhere: `await` takes both.
 */
export interface GenerativeModel extends AsyncDisposable {
  /** `encoder-decoder` reads a text once and writes another (T5); `decoder-only` goes on from a text or chat (Qwen2). */
  readonly kind: 'encoder-decoder' | 'decoder-only'
  /** Device that computes: `CPU`, `CUDA0`, … */
  readonly device: string
  /** Tokens that a prompt and its text may have together: what the model was trained for, and what was made room for. */
  readonly contextSize: number
  /** Milliseconds from the call of `load` to a model that is ready. */
  readonly loadMs: number
  /** Text to ids and back. */
  readonly tokenizer: ModelTokenizer
  /**
   * Generates from a text as it is, the messages of a chat, or ids. Unlike {@link chat} it gives what transformers would,
   * so without `maxNewTokens`, `maxLength` or a model that sets either, an answer ends after 20 tokens.
   *
   * Rejects with `invalid-argument`, `unsupported-option`, `context-full`, `aborted` (the signal), `disposed` (the model),
   * `engine-crashed` (where it runs in another process) or what the engine reports.
   *
   * @example
   * const { text, sequences } = await model.generate('请把下面的话翻译为英语:你好吗?', {
   *   numBeams: 5,
   *   numReturnSequences: 3,
   *   noRepeatNgramSize: 4,
   * })
   */
  generate(input: GenerationInput, options?: GenerateOptions): Promise<GenerationResult>
  /**
   * As {@link generate}, in pieces of whole characters; see {@link GenerationStream}. A beam search gives its text as one
   * piece, at its end.
   *
   * @example
   * const stream = model.stream([{ role: 'user', content: '你是谁?' }], { maxNewTokens: 128 })
   * for await (const piece of stream) process.stdout.write(piece)
   * const { usage } = await stream
   */
  stream(input: GenerationInput, options?: GenerateOptions): GenerationStream
  /**
   * Answers the messages of a chat, or a text as the only message; keeps nothing. The stream can be awaited as well. An
   * answer has up to 512 tokens, or as many as the context has room for, unless `maxNewTokens` or `maxLength` is set in the
   * call or by the model. An encoder-decoder has no messages (`unsupported-model`): it answers a text, ended with its
   * end token as ChatLM's own program does. Rejects as {@link generate} does.
   *
   * @example
   * const { text } = await model.chat('中国的首都是哪里?')
   *
   * @example
   * for await (const piece of model.chat([
   *   { role: 'system', content: '你是一个助手。' },
   *   { role: 'user', content: '你好' },
   * ])) process.stdout.write(piece)
   */
  chat(input: string | readonly ChatMessage[], options?: GenerateOptions): GenerationStream
  /**
   * Begins a chat of several turns, of which each reads only what is new. An encoder-decoder answers each of its messages
   * by itself.
   *
   * @example
   * const conversation = model.converse({ system: '你是一个助手。' })
   * const { text } = await conversation.send('你好', { maxNewTokens: 128 })
   * await conversation.dispose()
   */
  converse(options?: ConversationOptions): Conversation
  /**
   * Turns a text into ids, as `tokenizer.encode` does; no chat template is applied, which {@link encode} does. Rejects with
   * `invalid-argument` for what is no text, or too long.
   *
   * @example
   * const { inputIds, tokens } = await model.tokenize('你好，世界')
   */
  tokenize(text: string, options?: EncodeOptions): Promise<EncodedText>
  /**
   * What `generate` would read for an input: the text after the chat template, if there is one, and its ids. Rejects with
   * `invalid-argument`, `unsupported-model` (messages for a model without a template).
   */
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
  /** Text to ids; rejects with `invalid-argument` for what is no text, or too long. */
  encode(text: string, options?: EncodeOptions): Promise<EncodedText>
  /** Several texts, all filled up to the length of the longest; a filled place has 0 in `attentionMask`. */
  encodeBatch(texts: readonly string[], options?: BatchEncodeOptions): Promise<EncodedText[]>
  /** Text of ids; those beyond the vocabulary have none. */
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
