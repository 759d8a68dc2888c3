import type { StepRequest, StepResult, StepRows } from '../native/addon.ts'
import { EditKind } from '../native/addon.ts'
import type { Engine } from '../native/model.ts'
import type { Decoder, DecoderState, Prompt, RowCandidates, RowEdit, StepOptions } from './decoder.ts'

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

  abstract start(prompt: Prompt, signal?: AbortSignal): Promise<EngineState>

  async step(
    state: EngineState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    const fresh = tokens.map((row, i) => (state.pasts[i]?.length === 0 ? row.slice(state.padding) : row))
    const result = await this.engine.step(nativeRows(state, fresh), nativeRequest(options), signal)
    state.pasts = state.sequences.map((sequence, i) => ({
      sequence,
      length: (state.pasts[i]?.length ?? 0) + (fresh[i]?.length ?? 0),
    }))
    await this.#releaseRetired(state)
    return rowCandidates(result, options, this.vocabularySize)
  }

  reorder(state: EngineState, parents: readonly number[]): void {
    state.pasts = parents.map((parent) => state.pasts[parent] ?? NO_PAST)
    while (state.sequences.length < parents.length) state.sequences.push(this.engine.takeSequence())
    state.retired.push(...state.sequences.splice(parents.length))
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

function nativeRows(state: EngineState, tokens: readonly (readonly number[])[]): StepRows {
  const counts = tokens.map((row) => row.length)
  const outputs = new Uint8Array(counts.reduce((sum, count) => sum + count, 0))
  let end = 0
  for (const count of counts) {
    end += count
    outputs[end - 1] = 1
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

function nativeRequest({ candidates, edits = [], logits = false }: StepOptions): StepRequest {
  const quadruples: number[] = []
  const values: number[] = []
  const ids: (readonly number[])[] = []
  let count = 0
  edits.forEach((rowEdits, output) => {
    for (const edit of rowEdits) {
      quadruples.push(output, EditKind[edit.kind], count, edit.ids.length)
      values.push(editValue(edit))
      ids.push(edit.ids)
      count += edit.ids.length
    }
  })
  return {
    candidates,
    logits,
    edits: Int32Array.from(quadruples),
    editValues: Float32Array.from(values),
    editIds: Int32Array.from(ids.flat()),
  }
}

function editValue(edit: RowEdit): number {
  return edit.kind === 'penalize' ? edit.penalty : 0
}

function rowCandidates(result: StepResult, { candidates }: StepOptions, vocabularySize: number): RowCandidates[] {
  return Array.from(result.logSumExp, (logSumExp, row) => ({
    ids: result.ids.subarray(row * candidates, (row + 1) * candidates),
    scores: result.scores.subarray(row * candidates, (row + 1) * candidates),
    logSumExp,
    ...(result.logits.length === 0
      ? {}
      : { logits: result.logits.subarray(row * vocabularySize, (row + 1) * vocabularySize) }),
  }))
}
