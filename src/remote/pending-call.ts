import type { ConversionProgress } from '../convert/convert.ts'
import type { GenerationEvent } from '../runtime/generation-run.ts'
import { abortedError } from './engine-errors.ts'
import { type HostMessage, revivedError } from './protocol.ts'

/** How a caller follows a call. What a callback throws ends the call, which rejects with it. */
export interface Follower<Answer = unknown> {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ConversionProgress) => void) | undefined
  onStep?: ((event: GenerationEvent) => void) | undefined
  onPiece?: ((piece: string) => void) | undefined
  /** Gets what there was, or came after all, of a call that rejects. */
  onRemains?: ((answer: Answer) => void) | undefined
}

/** A call that waits for its answer. */
export class PendingCall {
  readonly answer: Promise<unknown>
  readonly #follower: Follower
  readonly #abort: () => void
  #resolve: (answer: unknown) => void = () => undefined
  #reject: (error: unknown) => void = () => undefined
  /** What a callback has thrown. */
  #failure: { error: unknown } | undefined

  /** `abort` asks the host to end the call. */
  constructor(follower: Follower, abort: () => void) {
    this.#follower = follower
    this.#abort = abort
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  receive(message: Exclude<HostMessage, { kind: 'hello' }>): void {
    const { signal, onProgress, onStep, onPiece, onRemains } = this.#follower
    if (message.kind === 'progress') this.#tell(() => onProgress?.(message.progress))
    else if (message.kind === 'step') this.#tell(() => onStep?.(message.event))
    else if (message.kind === 'piece') this.#tell(() => onPiece?.(message.piece))
    else if (message.kind === 'error') {
      if (message.result !== undefined) onRemains?.(message.result)
      this.fail(revivedError(message.error, message.error.code === 'aborted' ? signal?.reason : undefined))
    } else if (this.#failure === undefined && signal?.aborted !== true) this.#resolve(message.value)
    else {
      // Who has gone in the meantime gets no answer, however late the host has heard of it.
      onRemains?.(message.value)
      this.fail(signal?.aborted === true ? abortedError(signal) : this.#failure?.error)
    }
  }

  /** Ends the waiting; what a callback has thrown goes before the error. */
  fail(error: unknown): void {
    this.#reject(this.#failure === undefined ? error : this.#failure.error)
  }

  #tell(callback: () => void): void {
    if (this.#failure !== undefined) return
    try {
      callback()
    } catch (error) {
      this.#failure = { error }
      this.#abort()
    }
  }
}
