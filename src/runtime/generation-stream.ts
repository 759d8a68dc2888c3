import type { GenerationResult } from './generation-run.ts'

/**
 * A text on its way: iterate over it for its pieces, await it for the result, or both. It starts at once and does not
 * wait for its readers. Leaving the loop ends the generation; awaiting the stream then gives what there was, with the
 * finish reason `abort`. An error reaches the loop as well as whoever awaits.
 */
export type GenerationStream = Promise<GenerationResult> & AsyncIterable<string>

/** A generation that has not begun, wherever it will run. */
export interface StreamedRun {
  /** Begins the run: pieces of its first text as they come. */
  pieces(): AsyncIterable<string>
  /** Ends the run after the step that it is in; the result is then what there was. */
  leave(): void
  /** The result so far. */
  result(): GenerationResult
}

/** Starts a run. */
export function startStream(run: StreamedRun): GenerationStream {
  const pieces: string[] = []
  const readers = new Set<() => void>()
  let hasEnded = false
  const wake = (): void => {
    for (const resolve of readers) resolve()
    readers.clear()
  }

  const collect = async (): Promise<GenerationResult> => {
    try {
      for await (const piece of run.pieces()) {
        pieces.push(piece)
        wake()
      }
    } finally {
      hasEnded = true
      wake()
    }
    return run.result()
  }
  const result = collect()
  // Whoever reads the pieces meets the error there; Node must not end the process for the promise nobody awaits.
  result.catch(() => undefined)

  async function* read(): AsyncGenerator<string, void, void> {
    try {
      for (let next = 0; ; ) {
        while (next < pieces.length) yield pieces[next++] as string
        if (hasEnded) break
        await new Promise<void>((resolve) => readers.add(resolve))
      }
    } finally {
      run.leave()
      await result
    }
  }
  return Object.assign(result, { [Symbol.asyncIterator]: read })
}
