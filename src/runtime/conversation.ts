import { TandemError } from '../errors.ts'
import type { GenerationConfig } from '../generation/options.ts'
import { type ChatMessage, requireMessages } from '../template/messages.ts'
import { type GenerationStream, type StreamedRun, startStream } from './generation-stream.ts'
import { type GenerateOptions, inputOptions } from './generative-model.ts'
import { type EncodedInput, type GenerationInput, type InputOptions, requireRunOptions } from './input.ts'

/** How a conversation begins. */
export interface ConversationOptions {
  /** What the system message says; it stays when old turns go. */
  system?: string | undefined
  /** Messages of an earlier conversation. */
  messages?: readonly ChatMessage[]
  /** Called with the oldest messages when the context has no room for them any more. */
  onForget?: ((messages: readonly ChatMessage[]) => void) | undefined
}

/** What answering needs of a model. */
export interface AnsweringModel {
  /** Tokens that a prompt and its answer may have together. */
  readonly contextSize: number
  /** False: every message is answered by itself, as models without a template do. */
  readonly hasTurns: boolean
  encode(input: GenerationInput, options?: InputOptions): Promise<EncodedInput>
  run(input: () => Promise<GenerationInput>, options: () => GenerateOptions): StreamedRun
  /** The two lengths that a call with these options would have, wherever they were set. */
  lengths(options: GenerateOptions): Promise<Pick<GenerationConfig, 'maxNewTokens' | 'maxLength'>>
}

/** What a conversation needs of its model. */
export interface ConversationModel extends AnsweringModel {
  /** Frees what was kept between turns. */
  release(): Promise<void>
}

/** Tokens of an answer when nobody says how many. */
const DEFAULT_NEW_TOKENS = 512

/** ChatLM's own program ends every message with its end token. */
const WITHOUT_TURNS = { appendEos: true }

/** Answers messages, or a text as the only one, and keeps nothing of it. */
export function answerOnce(
  model: AnsweringModel,
  input: string | readonly ChatMessage[],
  options: GenerateOptions,
): GenerationStream {
  requireRunOptions(options)
  const given = inputOptions(options)
  return startStream(
    answer(model, options, async (wanted) => {
      if (!model.hasTurns)
        return { input: typeof input === 'string' ? input : requireMessages(input), length: wanted(1) }
      const messages = typeof input === 'string' ? [{ role: 'user', content: input }] : requireMessages(input)
      const { inputIds } = await model.encode(messages, given)
      // A prompt that leaves no room is refused by the run, with both numbers.
      const room = Math.max(model.contextSize - inputIds.length, 1)
      return { input: messages, length: Math.min(wanted(inputIds.length), room) }
    }),
  )
}

/** Tokens that the answer to a prompt of so many tokens (of the decoder) is to have at most, the context aside. */
type WantedLength = (promptLength: number) => number

/** An answer that has not begun; `prepare` gives what it reads, and how many tokens it may have. */
function answer(
  model: AnsweringModel,
  options: GenerateOptions,
  prepare: (wanted: WantedLength) => Promise<{ input: GenerationInput; length: number }>,
): StreamedRun {
  const preset = model.hasTurns ? {} : WITHOUT_TURNS
  let length = 0
  const read = async (): Promise<GenerationInput> => {
    const { maxNewTokens, maxLength } = await model.lengths(options)
    const prepared = await prepare(
      (promptLength) => maxNewTokens ?? (maxLength === undefined ? DEFAULT_NEW_TOKENS : maxLength - promptLength),
    )
    length = prepared.length
    return prepared.input
  }
  // A `maxLength` that the prompt has reached already is refused by the run.
  const limit = () => (length > 0 ? { maxNewTokens: length } : {})
  return model.run(read, () => ({ ...preset, ...options, ...limit() }) as GenerateOptions)
}

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
   * Answers a text: a stream to iterate over or to await. An answer has up to 512 tokens, or as many as the context has
   * room for, unless `maxNewTokens` or `maxLength` is set in the call or by the model.
   *
   * What an aborted turn had said already stays in the conversation; a turn that fails otherwise leaves it as it was.
   * Rejects as `generate` does, and with `context-full` when the text alone is too long; throws `invalid-argument` while
   * another answer is being given.
   */
  send(text: string, options: GenerateOptions = {}): GenerationStream {
    if (this.#turn !== undefined) {
      throw new TandemError('invalid-argument', 'The conversation is still answering', {
        remedy: 'Await the answer, or abort it',
      })
    }
    requireRunOptions(options)
    const turn: ChatMessage = { role: 'user', content: text }
    const run = answer(this.#model, options, (wanted) => this.#fit(turn, wanted))
    const stream = startStream(run)
    this.#turn = { run, stream }
    const remember = () => {
      this.#turn = undefined
      const { text: said, ids } = run.result()
      if (ids.length > 0) this.#messages.push(turn, { role: 'assistant', content: said })
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

  /** The prompt of a turn, without the oldest turns if there is no room for them, and the length of its answer. */
  async #fit(turn: ChatMessage, wanted: WantedLength): Promise<{ input: GenerationInput; length: number }> {
    if (!this.#model.hasTurns) return { input: String(turn.content), length: wanted(1) }
    const { contextSize } = this.#model
    while (true) {
      const input = [...this.messages, turn]
      const { inputIds } = await this.#model.encode(input)
      const room = contextSize - inputIds.length
      const length = wanted(inputIds.length)
      if (room >= length || (this.#messages.length === 0 && room > 0)) return { input, length: Math.min(length, room) }
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
