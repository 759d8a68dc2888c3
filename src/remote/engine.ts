import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import type { LoadOptions } from '../runtime/load.ts'
import { requireLoadOptions } from '../runtime/load-options.ts'
import { forkHost } from './child-process.ts'
import { Connection } from './connection.ts'
import type { HostLink } from './endpoint.ts'
import { closedError } from './engine-errors.ts'
import { type MessagePortLike, portLink } from './port.ts'
import { RemoteModel } from './remote-model.ts'
import { startWorker } from './worker.ts'

/** Options of {@link startEngine}. */
export interface EngineOptions extends ConnectOptions {
  /**
   * `process`: a child process, whose end, however sudden, leaves this process alive. `worker`: a worker thread, which
   * keeps this thread free but ends the process where native code does.
   */
  in: 'process' | 'worker'
  /** The program that serves, where a bundler has moved it: a copy of `tandem-llm/engine-host`. */
  host?: string | URL
}

/** Options of {@link connectEngine}. */
export interface ConnectOptions {
  /** Ends the start; rejects with `aborted`. */
  signal?: AbortSignal
}

const PLACES: Readonly<Record<EngineOptions['in'], (host: string | URL) => HostLink>> = {
  process: forkHost,
  worker: startWorker,
}

/**
 * Starts an engine: a thread or process of its own, in which models are loaded and computed.
 *
 * Rejects with `invalid-argument`, `aborted`, or `engine-crashed` when it ends before it has begun.
 *
 * @example
 * await using engine = await startEngine({ in: 'process' })
 * await using model = await engine.load('nano-qwen', { device: 'cpu' })
 * for await (const piece of model.stream([{ role: 'user', content: 'Hello' }])) process.stdout.write(piece)
 */
export async function startEngine(options: EngineOptions): Promise<RemoteEngine> {
  const place: unknown = options?.in
  if (place !== 'process' && place !== 'worker') {
    throw new TandemError('invalid-argument', 'Bad place for an engine', {
      expected: "{ in: 'process' } or { in: 'worker' }",
      received: inspect(options, { depth: 0 }),
    })
  }
  const { host = new URL('./engine-host.js', import.meta.url), signal } = options
  if (typeof host !== 'string' && !(host instanceof URL)) {
    throw new TandemError('invalid-argument', 'Bad host', { expected: 'a path or URL', received: inspect(host) })
  }
  const program = typeof host === 'string' ? resolve(host) : host
  return openEngine(async () => PLACES[place](program), signal)
}

/**
 * Uses an engine that `serveEngine` serves on the other side of a port, such as one in a utility process of Electron.
 * `connect` gives a new port, whose messages nobody has read yet; it is called again for `restart`.
 *
 * Rejects with `aborted`, `engine-crashed` when the port closes before it has begun, or what `connect` throws.
 *
 * @example
 * const engine = await connectEngine(() => {
 *   const { port1, port2 } = new MessageChannelMain()
 *   utilityProcess.fork(hostFile).postMessage('serve', [port2])
 *   return port1
 * })
 */
export async function connectEngine(
  connect: () => MessagePortLike | Promise<MessagePortLike>,
  { signal }: ConnectOptions = {},
): Promise<RemoteEngine> {
  return openEngine(async () => portLink(await connect()), signal)
}

/** As `connectEngine`, for any link to a host. */
export async function openEngine(open: OpenHost, signal?: AbortSignal): Promise<RemoteEngine> {
  return new RemoteEngine(open, await openConnection(open, signal))
}

type OpenHost = () => Promise<HostLink>

async function openConnection(open: OpenHost, signal: AbortSignal | undefined): Promise<Connection> {
  const connection = new Connection(await open())
  await connection.ready(signal)
  return connection
}

/**
 * Models in another thread or process. When that ends unexpectedly, all that waits for it rejects with `engine-crashed`
 * at once, and so does what is called afterwards; `restart` begins anew, and models are to be loaded again.
 */
export class RemoteEngine implements AsyncDisposable {
  readonly #open: OpenHost
  #connection: Connection
  #restarting: Promise<void> | undefined
  #isDisposed = false

  constructor(open: OpenHost, connection: Connection) {
    this.#open = open
    this.#connection = connection
  }

  /** Id of the engine's process; undefined for a thread, or behind a port. */
  get pid(): number | undefined {
    return this.#connection.pid
  }

  /**
   * Loads a model there; takes and rejects with what `load` does, with `engine-crashed` and `disposed` (the engine).
   * Relative paths count from the working directory that this process had when the engine was started.
   */
  async load(model: string, options: LoadOptions = {}): Promise<RemoteModel> {
    requireLoadOptions(options)
    await this.#restarting?.catch(() => undefined)
    if (this.#isDisposed) throw closedError()
    const { signal, onProgress, ...portable } = options
    const connection = this.#connection
    const { answer } = connection.call(
      'load',
      { name: model, options: portable, progress: onProgress !== undefined },
      {
        signal,
        onProgress,
        // Nobody holds a model that was ready only after its caller had gone.
        onRemains: ({ model }) => void connection.call('dispose', { model }).answer.catch(() => undefined),
      },
    )
    return new RemoteModel(connection, await answer)
  }

  /**
   * Starts the engine again, after a crash or in place of one that still runs: its models are gone then, and what runs
   * rejects with `disposed`. Rejects as `startEngine` does, and with `disposed`.
   */
  restart({ signal }: ConnectOptions = {}): Promise<void> {
    this.#restarting ??= this.#reopen(signal).finally(() => {
      this.#restarting = undefined
    })
    return this.#restarting
  }

  async #reopen(signal: AbortSignal | undefined): Promise<void> {
    if (this.#isDisposed) throw closedError()
    await this.#connection.close()
    const connection = await openConnection(this.#open, signal)
    this.#connection = connection
  }

  /** Ends the engine and all of its models; what runs there rejects with `disposed`. Idempotent. */
  async dispose(): Promise<void> {
    this.#isDisposed = true
    await this.#restarting?.catch(() => undefined)
    await this.#connection.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}
