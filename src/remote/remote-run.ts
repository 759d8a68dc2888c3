import type { GenerationResult } from '../runtime/generation-run.ts'
import type { StreamedRun } from '../runtime/generation-stream.ts'
import type { GenerateOptions } from '../runtime/generative-model.ts'
import type { GenerationInput } from '../runtime/input.ts'
import type { Connection } from './connection.ts'
import { requirePortable } from './portable-options.ts'
import type { Portable } from './protocol.ts'

/** A generation in a host. */
export interface RemoteRunOptions {
  model: number
  input(): Promise<GenerationInput>
  options(): GenerateOptions
  /** Number of the conversation that it is a turn of. */
  past?: number
  /** Whether somebody wants the pieces before the end. */
  pieces: boolean
}

/** The result of a run that has not begun. */
function nothing(): GenerationResult {
  return {
    text: '',
    ids: [],
    score: null,
    finishReason: 'abort',
    sequences: [],
    seed: null,
    prompt: undefined,
    inputIds: [],
    usage: { inputTokens: 0, outputTokens: 0 },
    timings: { loadMs: 0, encodeMs: 0, decodeMs: 0, steps: 0 },
  }
}

/** What `GenerationRun` is in this process, for a model in another. */
export class RemoteRun implements StreamedRun {
  readonly #connection: Connection
  readonly #run: RemoteRunOptions
  #result = nothing()
  #hasLeft = false
  #leave: (() => void) | undefined

  constructor(connection: Connection, run: RemoteRunOptions) {
    this.#connection = connection
    this.#run = run
  }

  async *pieces(): AsyncGenerator<string, void, void> {
    const { model, past, pieces: hasReader } = this.#run
    const input = await this.#run.input()
    const { signal, onStep, ...options } = this.#run.options()
    requirePortable(options)
    const pieces: string[] = []
    let wake = (): void => undefined
    let hasEnded = false
    const { answer, leave } = this.#connection.call(
      'generate',
      {
        model,
        input,
        options: options as Portable<GenerateOptions>,
        past,
        pieces: hasReader,
        steps: onStep !== undefined,
      },
      {
        signal,
        onStep,
        onPiece: (piece) => {
          pieces.push(piece)
          wake()
        },
        onRemains: (result) => {
          this.#result = result
        },
      },
    )
    const end = () => {
      hasEnded = true
      wake()
    }
    answer.then(end, end)
    this.#leave = leave
    if (this.#hasLeft) leave()
    while (true) {
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) yield piece
      if (hasEnded) break
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    this.#result = await answer
  }

  leave(): void {
    this.#hasLeft = true
    this.#leave?.()
  }

  result(): GenerationResult {
    return this.#result
  }
}
