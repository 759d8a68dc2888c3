import { TandemError } from '../errors.ts'
import type { ChatMessage } from '../template/messages.ts'
import { type GenerationStream, type StreamedRun, startStream } from './generation-stream.ts'
import type { GenerateOptions } from './generative-model.ts'
import { type EncodedInput, type GenerationInput, requireRunOptions } from './input.ts'

export interface ConversationOptions {
  /** What the system message says; it stays when old turns go. */
  system?: string | undefined
  /** Messages of an earlier conversation. */
  messages?: readonly ChatMessage[]
  /** Called with the oldest messages when the context has no room for them any more. */
  onForget?: ((messages: readonly ChatMessage[]) => void) | undefined
}

/** What a conversation needs of its model. */
export interface ConversationModel {
  /** Tokens that a prompt and its answer may have together. */
  readonly contextSize: number
  /** False: every message is answered by itself, as models without a template do. */
  readonly hasTurns: boolean
  encode(input: GenerationInput): Promise<EncodedInput>
  run(input: () => Promise<GenerationInput>, options: () => GenerateOptions): StreamedRun
  /** `max_new_tokens` that a call with these options would have, wherever it was set. */
  maxNewTokens(options: GenerateOptions): Promise<number | undefined>
  release(): Promise<void>
}

/** Tokens of an answer when nobody says how many. */
const DEFAULT_NEW_TOKENS = 512

/**
 * A chat of several turns. Each turn reads only what is new in it: the keys and values of what came before are kept. When
 * the context is full, the oldest turns go. One turn at a time.
 */
export class Conversation implements AsyncDisposable {
  readonly #model: ConversationModel
  readonly #onForget: ConversationOptions['onForget']
  #system: string | undefined
  #messages: ChatMessage[]
  /** The turn that is being answered. */
  #turn: { run: StreamedRun; stream: GenerationStream } | undefined

  constructor(model: ConversationModel, { system, messages = [], onForget }: ConversationOptions = {}) {
    this.#model = model
    this.#onForget = onForget
    this.#system = system
    this.#messages = [...messages]
  }

  /** The messages so far, the system's first. */
  get messages(): readonly ChatMessage[] {
    return this.#system === undefined
      ? [...this.#messages]
      : [{ role: 'system', content: this.#system }, ...this.#messages]
  }

  /** Says something else as the system, or nothing; the turns so far stay. */
  set system(text: string | undefined) {
    this.#system = text
  }

  /** Goes on from other messages, or from none. A system message among them replaces the system's. */
  restart(messages: readonly ChatMessage[] = []): void {
    const [first, ...rest] = messages
    const isSystem = first?.role === 'system' && typeof first.content === 'string'
    if (isSystem) this.#system = first.content as string
    this.#messages = isSystem ? rest : [...messages]
  }

  /**
   * Answers a text. What an aborted turn had said already stays in the conversation; a turn that fails otherwise leaves
   * it as it was. Rejects as `generate` does, and with `context-full` when the text alone is too long.
   */
  send(text: string, options: GenerateOptions = {}): GenerationStream {
    if (this.#turn !== undefined) {
      throw new TandemError('invalid-argument', 'The conversation is still answering', {
        remedy: 'Await the answer, or abort it',
      })
    }
    requireRunOptions(options)
    const turn: ChatMessage = { role: 'user', content: text }
    let maxNewTokens = DEFAULT_NEW_TOKENS
    const prepare = async (): Promise<GenerationInput> => {
      const wanted = (await this.#model.maxNewTokens(options)) ?? DEFAULT_NEW_TOKENS
      const { input, room } = await this.#fit(turn, wanted)
      maxNewTokens = Math.min(wanted, room)
      return input
    }
    // ChatLM's own program ends every message with its end token.
    const preset = this.#model.hasTurns ? {} : { appendEos: true }
    const run = this.#model.run(prepare, () => ({ ...preset, ...options, maxNewTokens }) as GenerateOptions)
    const stream = startStream(run)
    this.#turn = { run, stream }
    const remember = () => {
      this.#turn = undefined
      const answer = run.result()
      if (answer.ids.length > 0) this.#messages.push(turn, { role: 'assistant', content: answer.text })
    }
    stream.then(remember, (error: unknown) => {
      if (error instanceof TandemError && error.code === 'aborted') remember()
      this.#turn = undefined
    })
    return stream
  }

  /** Ends an answer that is being written, as leaving its loop does, and frees the past; the messages stay. */
  async dispose(): Promise<void> {
    this.#turn?.run.leave()
    // An answer that ends later would keep its past for a next one.
    await this.#turn?.stream.catch(() => undefined)
    await this.#model.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  /** The prompt of a turn, without the oldest turns if there is no room for them, and the room that an answer has. */
  async #fit(turn: ChatMessage, wanted: number): Promise<{ input: GenerationInput; room: number }> {
    if (!this.#model.hasTurns) return { input: String(turn.content), room: wanted }
    const { contextSize } = this.#model
    while (true) {
      const input = [...this.messages, turn]
      const { inputIds } = await this.#model.encode(input)
      const room = contextSize - inputIds.length
      if (room >= wanted || (this.#messages.length === 0 && room > 0)) return { input, room }
      if (this.#messages.length === 0) {
        throw new TandemError('context-full', 'The message does not fit into the context', {
          expected: `fewer than ${contextSize} tokens with its template`,
          received: String(inputIds.length),
          remedy: 'Shorten it, or load the model with a larger contextSize (--context-size)',
        })
      }
      this.#forgetOldestTurn()
    }
  }

  #forgetOldestTurn(): void {
    const next = this.#messages.findIndex(({ role }, i) => i > 0 && role === 'user')
    const forgotten = this.#messages.splice(0, next < 0 ? this.#messages.length : next)
    this.#onForget?.(forgotten)
  }
}
