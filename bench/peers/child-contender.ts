import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Contender, Work } from './contender.ts'
import type { Answer, Request, Settings } from './protocol.ts'

/** How a server is started. */
export interface ServerCommand {
  program: string
  arguments: string[]
  environment?: Record<string, string>
}

/** A contender in a process of its own, which loads its model when it is first measured and keeps it. */
export class ChildContender implements Contender {
  readonly peer: string
  readonly setting: string
  readonly threads?: number
  readonly #command: ServerCommand
  readonly #settings: Settings
  #kept: Server | undefined

  constructor(names: Pick<Contender, 'peer' | 'setting' | 'threads'>, command: ServerCommand, settings: Settings) {
    this.peer = names.peer
    this.setting = names.setting
    if (names.threads !== undefined) this.threads = names.threads
    this.#command = command
    this.#settings = settings
  }

  async measure(work: Work): Promise<number> {
    switch (work.kind) {
      case 'step': {
        const { length, beams, steps } = work
        const server = await this.#loaded()
        const short = await server.generate([length], beams, 1)
        return ((await server.generate([length], beams, steps + 1)) - short) / steps
      }
      case 'prompt':
        return (await this.#loaded()).generate([work.length], 1, 1)
      case 'batch':
        return (await this.#loaded()).generate(work.lengths, work.beams, work.newTokens)
      case 'load':
        return this.#inFreshProcess(
          async (server) => (await server.load()) + (await server.generate([work.length], 1, 1)),
        )
      case 'memory':
        return this.#inFreshProcess(async (server) => {
          await server.load()
          await server.generate([work.length], work.beams, work.newTokens)
          return server.memory()
        })
      case 'convert':
        throw new Error('A server does not convert')
    }
  }

  async close(): Promise<void> {
    await this.#kept?.close()
    this.#kept = undefined
  }

  async #loaded(): Promise<Server> {
    if (this.#kept === undefined) {
      this.#kept = this.#start()
      await this.#kept.load()
      // The first run of a graph allocates and compiles.
      await this.#kept.generate([16], 1, 4)
    }
    return this.#kept
  }

  async #inFreshProcess(work: (server: Server) => Promise<number>): Promise<number> {
    const server = this.#start()
    try {
      // An answer says that the library has been imported.
      await server.memory()
      return await work(server)
    } finally {
      await server.close()
    }
  }

  #start(): Server {
    return new Server(this.#command, this.#settings)
  }
}

/** A child process that answers one line to one line. */
class Server {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #errors: string[] = []

  constructor({ program, arguments: parameters, environment }: ServerCommand, settings: Settings) {
    this.#child = spawn(program, [...parameters, JSON.stringify(settings)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#errors.push(text))
    this.#child.on('error', (error) => this.#errors.push(error.message))
    // A child that has died says why on stderr.
    this.#child.stdin?.on('error', () => {})
    const { stdout } = this.#child
    if (stdout === null) throw new Error(`${program} has no output`)
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]()
  }

  load(): Promise<number> {
    return this.#ask({ do: 'load' })
  }

  generate(lengths: number[], beams: number, newTokens: number): Promise<number> {
    return this.#ask({ do: 'generate', lengths, beams, newTokens })
  }

  memory(): Promise<number> {
    return this.#ask({ do: 'memory' })
  }

  async close(): Promise<void> {
    // One that could not be started has no number, and never ends.
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await exit
  }

  async #ask(request: Request): Promise<number> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error(`${this.#child.spawnfile} ended: ${this.#errors.join('').trim().slice(-2000)}`)
    const answer = JSON.parse(value) as Answer
    return 'ms' in answer ? answer.ms : answer.bytes
  }
}
