import { TandemError } from '../../src/errors.ts'
import type {
  Decoder,
  DecoderState,
  Prompt,
  RandomGenerator,
  RowCandidates,
  StepOptions,
} from '../../src/generation/decoder.ts'
import { editedRow, logSoftmax } from './fake-rows.ts'

interface FakeState extends DecoderState {
  rows: number
  /** What each row has been fed. */
  past: number[][]
}

/** Which logits follow the ids that a row has been fed, padding included. */
export type Rule = (past: readonly number[], prompt: Prompt) => readonly number[]

/** A decoder whose logits a test writes down; it counts its living states and obeys every clause of the interface. */
export class FakeDecoder implements Decoder<FakeState> {
  readonly vocabularySize: number
  readonly maxSequences = 1000
  readonly #rule: Rule
  readonly #startTokenId: number | undefined
  readonly #prompts = new WeakMap<FakeState, Prompt>()
  alive = 0
  steps = 0

  /** With a `startTokenId` it is an encoder-decoder, without one decoder-only. */
  constructor(vocabularySize: number, rule: Rule, startTokenId?: number) {
    this.vocabularySize = vocabularySize
    this.#rule = rule
    this.#startTokenId = startTokenId
  }

  async start(prompt: Prompt, signal?: AbortSignal): Promise<FakeState> {
    rejectIfAborted(signal)
    this.alive += 1
    const isCausal = this.#startTokenId === undefined
    const promptIds = isCausal ? prompt.inputIds : [this.#startTokenId ?? 0]
    const padding = isCausal ? Math.max(prompt.attentionMask.indexOf(1), 0) : 0
    const state = { rows: 1, promptIds, padding, past: [[]] }
    this.#prompts.set(state, prompt)
    return state
  }

  async step(
    state: FakeState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    await Promise.resolve()
    rejectIfAborted(signal)
    this.steps += 1
    const prompt = this.#prompts.get(state) ?? { inputIds: [], attentionMask: [] }
    const rows = tokens.map((fed, row): FakeRow => {
      const past = state.past[row] ?? []
      const states = fed.map((token) => {
        past.push(token)
        return hiddenState(past)
      })
      const scores = editedRow(this.#rule(past, prompt), options.edits?.[row] ?? [])
      const logSumExp = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0))
      return { scores, logSumExp, hiddenStates: Float32Array.from(options.hiddenStates === true ? states.flat() : []) }
    })
    return options.beamScores === undefined ? rows.map((row) => alone(row, options)) : [pooled(rows, options)]
  }

  createGenerator(seed: number): RandomGenerator {
    return new FakeGenerator(seed)
  }

  reorder(state: FakeState, parents: readonly number[]): void {
    state.past = parents.map((parent) => [...(state.past[parent] ?? [])])
    state.rows = parents.length
  }

  async dispose(state: FakeState): Promise<void> {
    if (this.#prompts.delete(state)) this.alive -= 1
  }
}

/** Logits that look random and are the same for the same past; between -3 and 3. */
export function scattered(size: number, seed = 0): Rule {
  return (past, { inputIds }) =>
    Array.from({ length: size }, (_, id) => {
      const hash = [...inputIds, ...past, id].reduce(
        (sum, value) => Math.imul(sum ^ (value + 0x9e37), 0x01000193),
        seed + 17,
      )
      return (((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32) * 6 - 3
    })
}

function hiddenState(past: readonly number[]): number[] {
  const token = past.at(-1) ?? 0
  return [Math.cos(token), Math.sin(token), Math.cos(3 * token), past.length % 3]
}

/** A row of logits in which `token` is the best of `size`. */
export function favouring(token: number, size: number): number[] {
  return Array.from({ length: size }, (_, id) => (id === token ? 4 : 1 - id / size))
}

/** The rule that says one token after the other, whatever it is fed; counted from the end of the prompt. */
export function script(words: readonly number[], size: number): Rule {
  const lengths = new Map<Prompt, number>()
  return (past, prompt) => {
    const begin = lengths.get(prompt) ?? past.length
    lengths.set(prompt, begin)
    return favouring(words[past.length - begin] ?? 0, size)
  }
}

interface FakeRow {
  scores: number[]
  logSumExp: number
  hiddenStates: Float32Array
}

function alone({ scores, logSumExp, hiddenStates }: FakeRow, { candidates: count, draw }: StepOptions): RowCandidates {
  const ids = draw === undefined ? ranked(scores, count) : drawn(scores, count, draw.generator)
  return { ...chosen(ids, scores), beams: new Int32Array(ids.length), logSumExp, hiddenStates }
}

/** All rows as one list, in which an index is the row times the vocabulary and the token. */
function pooled(rows: readonly FakeRow[], { candidates: count, beamScores = [], draw }: StepOptions): RowCandidates {
  const size = rows[0]?.scores.length ?? 1
  const pool = rows.flatMap(({ scores }, row) => scores.map((score) => Math.fround(score + (beamScores[row] ?? 0))))
  const places = draw === undefined ? ranked(pool, count) : drawn(pool, count, draw.generator)
  return {
    ...chosen(places, pool),
    ids: Int32Array.from(places, (place) => place % size),
    beams: Int32Array.from(places, (place) => Math.floor(place / size)),
    logSumExp: 0,
    hiddenStates: new Float32Array(),
  }
}

function chosen(ids: readonly number[], scores: readonly number[]) {
  return { ids: Int32Array.from(ids), scores: Float32Array.from(ids, (id) => scores[id] ?? 0) }
}

function ranked(scores: readonly number[], count: number): number[] {
  const possible = [...scores.keys()].filter((id) => (scores[id] ?? Number.NaN) > Number.NEGATIVE_INFINITY)
  return possible.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b).slice(0, count)
}

/** Exponential races, as torch draws, with a generator of our own. */
function drawn(scores: readonly number[], count: number, generator: RandomGenerator): number[] {
  if (!(generator instanceof FakeGenerator)) throw new Error('this generator is not the fake decoder’s')
  const races = logSoftmax(scores).map((logProbability) => logProbability - Math.log(generator.exponential()))
  return ranked(races, count)
}

/** Mulberry32. */
class FakeGenerator implements RandomGenerator {
  readonly native = 'generator'
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  exponential(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return -Math.log1p(-((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32)
  }
}

function rejectIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TandemError('aborted', 'The generation was aborted', { cause: signal.reason })
}
