import type { TandemError } from '../errors.ts'
import type { HostLink } from './endpoint.ts'
import { abortedError, cloneError, closedError, crashError, silenceError, versionError } from './engine-errors.ts'
import { readHostMessage } from './host-message.ts'
import { type Follower, PendingCall } from './pending-call.ts'
import { type CallKind, type Calls, type ClientMessage, PROTOCOL_VERSION, type Request } from './protocol.ts'

/** Milliseconds within which a host must have spoken; on a busy machine a process takes seconds to start. */
const START_LIMIT = 60_000

/** A call on its way. */
export interface StartedCall<Answer> {
  answer: Promise<Answer>
  /** Asks the host to end the generation with what there is. */
  leave(): void
}

/** The calls that wait for one host, until that ends. */
export class Connection {
  /** Id of the host's process, if it has one of its own. */
  readonly pid: number | undefined
  readonly #link: HostLink
  readonly #calls = new Map<number, PendingCall>()
  #lastCall = 0
  /** Settles when the host has spoken, or never will. */
  readonly #greeting: Promise<void>
  #greet: () => void = () => undefined
  #giveUp: (error: TandemError) => void = () => undefined
  /** Why there will be no more answers; every caller gets an error of its own. */
  #endError: (() => TandemError) | undefined

  constructor(link: HostLink) {
    this.#link = link
    this.pid = link.pid
    this.#greeting = new Promise((resolve, reject) => {
      this.#greet = resolve
      this.#giveUp = reject
    })
    link.listen({
      message: (value) => this.#receive(value),
      close: (ending) => this.#end(() => crashError(ending)),
    })
  }

  /** Resolves when the host has spoken. Otherwise the host is stopped. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    const abort = () => this.#end(() => (signal === undefined ? closedError() : abortedError(signal)))
    const timer = setTimeout(() => this.#end(() => silenceError(START_LIMIT)), START_LIMIT)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      if (signal?.aborted === true) abort()
      await this.#greeting
      this.#link.hold(false)
    } catch (error) {
      await this.#link.stop(0)
      throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Asks the host. Rejects with what it reports, `aborted`, `engine-crashed` or, once it is closed, `disposed`. */
  call<Kind extends CallKind>(
    kind: Kind,
    request: Calls[Kind]['request'],
    follower: Follower<Calls[Kind]['answer']> = {},
  ): StartedCall<Calls[Kind]['answer']> {
    this.#lastCall += 1
    const call = this.#lastCall
    const message = { ...request, kind, call } as unknown as Request
    return {
      answer: this.#answer(message, follower as Follower) as Promise<Calls[Kind]['answer']>,
      leave: () => this.#post({ kind: 'leave', call }),
    }
  }

  /** Ends the host; what waits for it rejects with `disposed`. Resolves when the host has ended. Idempotent. */
  async close(): Promise<void> {
    this.#end(closedError)
    this.#post({ kind: 'close' })
    await this.#link.stop()
  }

  async #answer(message: Request, follower: Follower): Promise<unknown> {
    if (this.#endError !== undefined) throw this.#endError()
    const { call } = message
    const { signal } = follower
    if (signal?.aborted === true) throw abortedError(signal)
    const abort = () => this.#post({ kind: 'abort', call })
    const pending = new PendingCall(follower, abort)
    this.#post(message)
    this.#calls.set(call, pending)
    this.#link.hold(true)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await pending.answer
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#calls.delete(call)
      if (this.#calls.size === 0) this.#link.hold(false)
    }
  }

  #post(message: ClientMessage): void {
    try {
      this.#link.post(message)
    } catch (error) {
      throw cloneError(error)
    }
  }

  #receive(value: unknown): void {
    try {
      const message = readHostMessage(value)
      if (message === undefined) return
      if (message.kind !== 'hello') this.#calls.get(message.call ?? -1)?.receive(message)
      else if (message.version === PROTOCOL_VERSION) this.#greet()
      else this.#end(() => versionError(message.version))
    } catch (error) {
      // What breaks the protocol cannot be trusted with another call.
      this.#end(() => error as TandemError)
      this.#link.stop(0)
    }
  }

  /** The first reason counts. */
  #end(error: () => TandemError): void {
    this.#endError ??= error
    this.#giveUp(this.#endError())
    for (const pending of this.#calls.values()) pending.fail(this.#endError())
  }
}
