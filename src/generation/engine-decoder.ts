import { Output, type StepResult, type StepRows } from '../native/addon.ts'
import type { Engine } from '../native/model.ts'
import type { Decoder, DecoderState, Prompt, RandomGenerator, RowCandidates, StepOptions } from './decoder.ts'
import { nativeRequest, splitAtCallbacks } from './row-request.ts'

/** Where the past of a hypothesis lies: a native sequence and how many of its positions count. */
interface Past {
  sequence: number
  length: number
}

const NO_PAST: Past = { sequence: -1, length: 0 }

/** The hypotheses of one prompt in a native engine. */
export class EngineState implements DecoderState {
  readonly promptIds: readonly number[]
  readonly padding: number
  readonly source: number
  /** The native sequence that each row writes. */
  sequences: number[]
  pasts: Past[] = [NO_PAST]
  /** Sequences that no row writes any more, but whose past the next step may still read. */
  retired: number[] = []
  disposed = false

  constructor(promptIds: readonly number[], fields: { padding: number; source: number; sequence: number }) {
    this.promptIds = promptIds
    this.padding = fields.padding
    this.source = fields.source
    this.sequences = [fields.sequence]
  }

  get rows(): number {
    return this.sequences.length
  }
}

/** What both kinds of models share: rows of a state become rows of a native step. Only `start` differs. */
export abstract class EngineDecoder implements Decoder<EngineState> {
  protected readonly engine: Engine

  constructor(engine: Engine) {
    this.engine = engine
  }

  get vocabularySize(): number {
    return this.engine.description.vocabularySize
  }

  get maxSequences(): number {
    return this.engine.description.maxSequences
  }

  abstract start(prompt: Prompt, signal?: AbortSignal): Promise<EngineState>

  async step(
    state: EngineState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    const fresh = tokens.map((row, i) => (state.pasts[i]?.length === 0 ? row.slice(state.padding) : row))
    const result = await this.#compute(nativeRows(state, fresh, options), options, signal)
    state.pasts = state.sequences.map((sequence, i) => ({
      sequence,
      length: (state.pasts[i]?.length ?? 0) + (fresh[i]?.length ?? 0),
    }))
    await this.#releaseRetired(state)
    return rowCandidates(result, { options, tokenCounts: fresh.map(({ length }) => length), engine: this.engine })
  }

  /** One native step; a user's callbacks cut it into several, between which whole rows come over and go back. */
  async #compute(rows: StepRows, options: StepOptions, signal: AbortSignal | undefined): Promise<StepResult> {
    const [first, ...later] = splitAtCallbacks(options)
    const result = await this.engine.step(rows, nativeRequest(first.options), signal)
    let chosen = result
    for (const { callbacks, options } of later) {
      callbacks.forEach((rowCallbacks, row) => {
        const scores = chosen.logits.subarray(row * this.vocabularySize, (row + 1) * this.vocabularySize)
        for (const process of rowCallbacks) process(scores)
      })
      chosen = await this.engine.choose(chosen.logits, nativeRequest(options), signal)
    }
    return { ...chosen, hiddenStates: result.hiddenStates }
  }

  createGenerator(seed: number): RandomGenerator {
    return this.engine.createGenerator(seed)
  }

  reorder(state: EngineState, parents: readonly number[]): void {
    state.pasts = parents.map((parent) => state.pasts[parent] ?? NO_PAST)
    while (state.sequences.length < parents.length) state.sequences.push(this.engine.takeSequence())
    state.retired.push(...state.sequences.splice(parents.length))
  }

  /** Lets a state that has read nothing go on from the first `length` ids that the first row of another was fed. */
  adopt(state: EngineState, from: EngineState, length: number): void {
    const [past, ...others] = from.sequences
    if (past === undefined) return
    from.sequences = [...state.sequences, ...others]
    state.sequences = [past]
    state.pasts = [{ sequence: past, length }]
  }

  /** Lets a state begin anew, with the whole of its prompt. */
  forget(state: EngineState): void {
    state.pasts = state.sequences.map(() => NO_PAST)
  }

  async dispose(state: EngineState): Promise<void> {
    if (state.disposed) return
    state.disposed = true
    // Emptied, so that a step that is still under way gives nothing back a second time.
    const sequences = [...state.sequences.splice(0), ...state.retired.splice(0)]
    await this.engine.release(sequences, state.source < 0 ? [] : [state.source])
  }

  async #releaseRetired(state: EngineState): Promise<void> {
    if (state.retired.length === 0) return
    await this.engine.release(state.retired.splice(0), [])
  }
}

function nativeRows(
  state: EngineState,
  tokens: readonly (readonly number[])[],
  { hiddenStates = false }: StepOptions,
): StepRows {
  const counts = tokens.map((row) => row.length)
  const outputs = new Uint8Array(counts.reduce((sum, count) => sum + count, 0)).fill(
    hiddenStates ? Output.hiddenState : 0,
  )
  let end = 0
  for (const count of counts) {
    end += count
    outputs[end - 1] = (outputs[end - 1] ?? 0) | Output.distribution
  }
  return {
    sequences: Int32Array.from(state.sequences),
    parents: Int32Array.from(state.pasts, (past) => past.sequence),
    positions: Int32Array.from(state.pasts, (past) => past.length),
    sources: new Int32Array(state.rows).fill(state.source),
    tokenCounts: Int32Array.from(counts),
    tokens: Int32Array.from(tokens.flat()),
    outputs,
  }
}

interface ResultContext {
  options: StepOptions
  tokenCounts: readonly number[]
  engine: Engine
}

function rowCandidates(result: StepResult, { options, tokenCounts, engine }: ResultContext): RowCandidates[] {
  const { vocabularySize, hiddenSize } = engine.description
  let first = 0
  let firstState = 0
  return Array.from(result.counts, (count, row) => {
    const end = first + count
    const endState = firstState + (options.hiddenStates === true ? (tokenCounts[row] ?? 0) * hiddenSize : 0)
    const candidates = {
      ids: result.ids.subarray(first, end),
      scores: result.scores.subarray(first, end),
      beams: result.beams.subarray(first, end),
      logSumExp: options.beamScores === undefined ? (result.logSumExp[row] ?? 0) : 0,
      hiddenStates: result.hiddenStates.subarray(firstState, endState),
      ...(options.logits === true
        ? { logits: result.logits.subarray(row * vocabularySize, (row + 1) * vocabularySize) }
        : {}),
    }
    first = end
    firstState = endState
    return candidates
  })
}
