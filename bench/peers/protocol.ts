import { createInterface } from 'node:readline'
import { sourceOf } from './sources.ts'

/** What a contender runs with; each server reads what it knows. */
export interface Settings {
  /** A folder or file in the form that the server loads. */
  model: string
  kind: 'encoder-decoder' | 'decoder-only'
  threads: number
  /** Type of the computation, where the server has a choice. */
  type?: string
  /** Batches that are computed side by side, and sources in each. */
  parallel?: number
  batchSize?: number
  contextSize?: number
}

export type Request =
  | { do: 'load' }
  /** Exactly `newTokens` for each of the sources, whose ids follow from their lengths. */
  | { do: 'generate'; lengths: number[]; beams: number; newTokens: number }
  | { do: 'memory' }

export type Answer = { ms: number } | { bytes: number }

/** A loaded model of a server in this language. */
export interface ServedModel {
  vocabularySize: number
  /** Returns the number of new tokens of each source. */
  generate(sources: number[][], beams: number, newTokens: number): Promise<number[]>
}

/** Answers the requests that come on stdin, one a line; `servers/protocol.py` is the same for Python. */
export async function serve(load: (settings: Settings) => Promise<ServedModel>): Promise<void> {
  const settings = JSON.parse(process.argv[2] ?? '{}') as Settings
  let model: ServedModel | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request
    let begin = performance.now()
    if (request.do === 'load') model = await load(settings)
    else if (request.do === 'generate' && model !== undefined) {
      const { vocabularySize } = model
      const sources = request.lengths.map((length) => sourceOf(length, vocabularySize))
      begin = performance.now()
      const counts = await model.generate(sources, request.beams, request.newTokens)
      if (counts.some((count) => count !== request.newTokens)) {
        throw new Error(`expected ${request.newTokens} new tokens, received ${counts.join(', ')}`)
      }
    }
    const answer: Answer =
      request.do === 'memory' ? { bytes: process.resourceUsage().maxRSS * 1024 } : { ms: performance.now() - begin }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
  process.exit(0)
}
