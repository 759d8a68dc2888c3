import type { Decoder } from '../decoder.ts'
import type { GenerationConfig } from '../options.ts'
import type { FinishReason } from '../stopping.ts'
import { type Hypothesis, noToken, type SearchRequest, type SearchRun, textRules } from './search.ts'
import { Steps } from './steps.ts'

/** Scores are floats, as in the reference; what has ended is kept out of the running by this much. */
const OUT_OF_THE_RUNNING = -1e9
const { fround } = Math

interface Beam {
  ids: readonly number[]
  score: number
}

/** A way to go on: a beam and its next token. */
interface Candidate extends Beam {
  parent: number
  finishReason: FinishReason | undefined
}

/** Beam search and, where the options say so, beam sampling, by the rules of transformers 5.23. */
export async function* beamSearch(decoder: Decoder, request: SearchRequest, signal?: AbortSignal): SearchRun {
  const { config } = request
  const state = await decoder.start(request.prompt, signal)
  const steps = new Steps(decoder, state, request, signal)
  try {
    const { rowRules, finishRule, lengthLimit } = textRules(decoder, state, request)
    const promptLength = state.promptIds.length
    const generator = config.doSample ? decoder.createGenerator(config.seed ?? 0) : undefined
    const board = new Scoreboard(config, lengthLimit - promptLength)
    let running: Beam[] = [{ ids: state.promptIds, score: 0 }]
    const options = () => ({
      candidates: Math.min(candidateCount(config), running.length * decoder.vocabularySize),
      edits: running.map(({ ids }) => rowRules(ids)),
      beamScores: running.map(({ score }) => score),
      ...(generator && { draw: { generator, rows: [...running.keys()], matrixRows: config.numBeams } }),
    })
    steps.begin(() => ({ unread: [state.promptIds], options: options() }))
    while (true) {
      const [next] = await steps.rows()
      const candidates = Array.from(next?.ids ?? [], (token, rank): Candidate => {
        const parent = next?.beams[rank] ?? 0
        const ids = [...(running[parent]?.ids ?? []), token]
        return { ids, parent, score: next?.scores[rank] ?? 0, finishReason: finishRule(ids) }
      })
      const survivors = board.advance(candidates)
      if (!board.isDone) {
        running = survivors
        steps.begin(() => {
          decoder.reorder(
            state,
            survivors.map(({ parent }) => parent),
          )
          return { unread: survivors.map(({ ids }) => ids.slice(-1)), options: options() }
        })
      }
      yield board.event(survivors, promptLength)
      if (board.isDone) return board.results(promptLength)
    }
  } finally {
    await steps.end()
  }
}

/** So many that as many beams go on even if every beam may end in each of the end tokens. */
function candidateCount({ numBeams, eosTokenIds }: GenerationConfig): number {
  return Math.max(2, 1 + eosTokenIds.length) * numBeams
}

/** Keeps the ended texts, chooses the beams that go on, and knows when nothing better can come. */
class Scoreboard {
  readonly #config: GenerationConfig
  readonly #maxNewTokens: number
  #length = 0
  #finished: Candidate[] = []
  #canImprove = true
  isDone = false

  constructor(config: GenerationConfig, maxNewTokens: number) {
    this.#config = config
    this.#maxNewTokens = maxNewTokens
  }

  /** Takes the candidates of one step, in their order, and returns the beams of the next. */
  advance(candidates: readonly Candidate[]): Candidate[] {
    const { numBeams, earlyStopping } = this.#config
    this.#length += 1
    const survivors = candidates
      .map((candidate) => (candidate.finishReason === undefined ? candidate : out(candidate)))
      .sort((a, b) => b.score - a.score)
      .slice(0, numBeams)
    // Only what ends among the first candidates counts as found; a rank below that never would have stayed a beam.
    if (this.#canImprove && !(earlyStopping === true && this.#isFull)) {
      const ended = candidates.filter(({ finishReason }, rank) => finishReason !== undefined && rank < numBeams)
      this.#finished = [...this.#finished, ...ended.flatMap((candidate) => this.#found(candidate))]
        .sort((a, b) => b.score - a.score)
        .slice(0, numBeams)
    }
    this.#canImprove &&= this.#bestPossible(survivors) > this.#worstFinished
    this.isDone =
      !this.#canImprove ||
      (earlyStopping === true && this.#isFull) ||
      candidates.every(({ finishReason }) => finishReason !== undefined)
    return survivors
  }

  event(survivors: readonly Candidate[], promptLength: number) {
    return {
      kind: 'beams' as const,
      finished: this.#finished.map((candidate) => hypothesis(candidate, promptLength)),
      running: survivors
        .filter(({ finishReason }) => finishReason === undefined)
        .map((candidate) => hypothesis(this.#rated(candidate), promptLength)),
    }
  }

  /** @throws TandemError `compute-failed` when every token was forbidden before any text could end */
  results(promptLength: number): Hypothesis[] {
    if (this.#finished.length === 0) throw noToken()
    return this.#finished
      .slice(0, this.#config.numReturnSequences)
      .map((candidate) => hypothesis(candidate, promptLength))
  }

  get #isFull(): boolean {
    return this.#finished.length === this.#config.numBeams
  }

  get #worstFinished(): number {
    return this.#isFull ? (this.#finished.at(-1)?.score ?? OUT_OF_THE_RUNNING) : OUT_OF_THE_RUNNING
  }

  /**
   * The reference begins with empty places of this score, which keep out what holds a forbidden token (of the lowest
   * float under `remove_invalid_values`). They keep out far worse than that: see the sum before the length counts.
   */
  #found(candidate: Candidate): Candidate[] {
    const rated = this.#rated(candidate)
    return Math.max(candidate.score, rated.score) > OUT_OF_THE_RUNNING ? [rated] : []
  }

  #rated(candidate: Candidate): Candidate {
    return { ...candidate, score: this.#byLength(candidate.score, this.#length) }
  }

  /** What the best beam could still be worth; with `never`, if it kept its score up to the full length. */
  #bestPossible([best]: readonly Candidate[]): number {
    const { earlyStopping, lengthPenalty } = this.#config
    const length = earlyStopping === 'never' && lengthPenalty > 0 ? this.#maxNewTokens : this.#length
    return best === undefined ? Number.NEGATIVE_INFINITY : this.#byLength(best.score, length)
  }

  #byLength(score: number, length: number): number {
    return fround(score / fround(length ** this.#config.lengthPenalty))
  }
}

function out(candidate: Candidate): Candidate {
  return { ...candidate, score: fround(candidate.score + OUT_OF_THE_RUNNING) }
}

function hypothesis({ ids, score, finishReason }: Candidate, promptLength: number): Hypothesis {
  return { ids: ids.slice(promptLength), score, finishReason }
}
