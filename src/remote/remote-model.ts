import { TandemError } from '../errors.ts'
import type { GenerationConfig, GenerationOptions } from '../generation/options.ts'
import { type AnsweringModel, answerOnce, Conversation, type ConversationOptions } from '../runtime/conversation.ts'
import type { GenerationResult } from '../runtime/generation-run.ts'
import { type GenerationStream, startStream } from '../runtime/generation-stream.ts'
import { type GenerateOptions, type GenerativeModel, generationOptions } from '../runtime/generative-model.ts'
import { type EncodedInput, type GenerationInput, type InputOptions, requireRunOptions } from '../runtime/input.ts'
import type { ChatMessage } from '../template/messages.ts'
import type { EncodedText, EncodeOptions } from '../tokenizer/text-tokenizer.ts'
import type { Connection } from './connection.ts'
import { requirePortable } from './portable-options.ts'
import type { ModelDescription } from './protocol.ts'
import { RemoteRun, type RemoteRunOptions } from './remote-run.ts'
import { RemoteTokenizer } from './remote-tokenizer.ts'

/**
 * A model in an engine's thread or process, with the calls of one in this process; what that answers at once, such as
 * `tokenizer.decode`, comes as a promise. Options that are functions (`logitsProcessor`, `prefixAllowedTokensFn`) are
 * refused with `unsupported-option`.
 *
 * When the engine ends unexpectedly, what waits and what is called afterwards rejects with `engine-crashed`.
 */
export class RemoteModel implements GenerativeModel {
  readonly kind: GenerativeModel['kind']
  readonly device: string
  readonly contextSize: number
  readonly loadMs: number
  readonly tokenizer: RemoteTokenizer
  readonly #connection: Connection
  readonly #model: number
  #conversations = 0
  #disposal: Promise<void> | undefined

  constructor(connection: Connection, { model, kind, device, contextSize, loadMs, tokenizer }: ModelDescription) {
    this.#connection = connection
    this.#model = model
    this.kind = kind
    this.device = device
    this.contextSize = contextSize
    this.loadMs = loadMs
    this.tokenizer = new RemoteTokenizer(connection, model, tokenizer)
  }

  async generate(input: GenerationInput, options: GenerateOptions = {}): Promise<GenerationResult> {
    requireRunOptions(options)
    return startStream(this.#run({ input: async () => input, options: () => options, pieces: false }))
  }

  stream(input: GenerationInput, options: GenerateOptions = {}): GenerationStream {
    requireRunOptions(options)
    return startStream(this.#run({ input: async () => input, options: () => options, pieces: true }))
  }

  chat(input: string | readonly ChatMessage[], options: GenerateOptions = {}): GenerationStream {
    const model = this.#answeringModel((input, options) => this.#run({ input, options, pieces: true }))
    return answerOnce(model, input, options)
  }

  converse(options: ConversationOptions = {}): Conversation {
    const past = ++this.#conversations
    const model = this.#answeringModel((input, options) => this.#run({ input, options, past, pieces: true }))
    const release = () => freed(this.#connection.call('release', { model: this.#model, past }).answer)
    return new Conversation({ ...model, release }, options)
  }

  #answeringModel(run: AnsweringModel['run']): AnsweringModel {
    return {
      contextSize: this.contextSize,
      hasTurns: this.kind === 'decoder-only',
      encode: (input, options) => this.encode(input, options),
      run,
      lengths: (options) => this.resolve(generationOptions(options)),
    }
  }

  encode(input: GenerationInput, options: InputOptions = {}): Promise<EncodedInput> {
    return this.#connection.call('encode', { model: this.#model, input, options }).answer
  }

  tokenize(text: string, options: EncodeOptions = {}): Promise<EncodedText> {
    return this.tokenizer.encode(text, options)
  }

  async resolve(options: GenerationOptions): Promise<GenerationConfig> {
    requirePortable(options)
    return this.#connection.call('resolve', { model: this.#model, options }).answer
  }

  /** Ends what is running and frees the model. Idempotent; of an engine that has ended nothing is left to free. */
  dispose(): Promise<void> {
    this.#disposal ??= freed(this.#connection.call('dispose', { model: this.#model }).answer)
    return this.#disposal
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #run(run: Omit<RemoteRunOptions, 'model'>): RemoteRun {
    return new RemoteRun(this.#connection, { ...run, model: this.#model })
  }
}

/** What shall be free is, too, when its engine has ended. */
async function freed(answer: Promise<undefined>): Promise<void> {
  try {
    await answer
  } catch (error) {
    const isGone = error instanceof TandemError && (error.code === 'engine-crashed' || error.code === 'disposed')
    if (!isGone) throw error
  }
}
