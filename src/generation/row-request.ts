import { EditKind, type StepRequest } from '../native/addon.ts'
import type { RowCallback, RowEdit, StepOptions } from './decoder.ts'

type NativeEdit = Exclude<RowEdit, { kind: 'callback' }>

/** A part of a step's edits: what the user's callbacks do to each row first, and what C++ does to the rows after them. */
export interface RequestPart {
  callbacks: readonly (readonly RowCallback[])[]
  options: StepOptions
}

/** Cuts the edits before each callback. All parts but the last only edit and return whole rows. */
export function splitAtCallbacks(options: StepOptions): [RequestPart, ...RequestPart[]] {
  const rows = (options.edits ?? []).map(cutRow)
  const parts = Math.max(1, ...rows.map(({ length }) => length))
  // Whether rows compete decides what becomes of one without an allowed token.
  const beams = options.beamScores === undefined ? {} : { beamScores: options.beamScores }
  const part = (index: number): RequestPart => {
    const isLast = index === parts - 1
    const edits = rows.map((row) => row[index]?.edits ?? [])
    return {
      callbacks: rows.map((row) => row[index]?.callbacks ?? []),
      options: isLast ? { ...options, edits } : { candidates: 1, logits: true, edits, ...beams },
    }
  }
  return [part(0), ...Array.from({ length: parts - 1 }, (_, index) => part(index + 1))]
}

interface RowPart {
  callbacks: RowCallback[]
  edits: NativeEdit[]
}

/** Callbacks one after the other see the row without a way through C++ between them. */
function cutRow(edits: readonly RowEdit[]): RowPart[] {
  const parts: RowPart[] = [{ callbacks: [], edits: [] }]
  for (const edit of edits) {
    const last = parts.at(-1)
    if (edit.kind !== 'callback') last?.edits.push(edit)
    else if (parts.length > 1 && last?.edits.length === 0) last.callbacks.push(edit.process)
    else parts.push({ callbacks: [edit.process], edits: [] })
  }
  return parts
}

/** The request that C++ reads; the edits must hold no callbacks. */
export function nativeRequest({
  candidates,
  edits = [],
  logits = false,
  beamScores = [],
  draw,
}: StepOptions): StepRequest {
  const quintuples: number[] = []
  const values: number[] = []
  const ids: (readonly number[])[] = []
  let count = 0
  edits.forEach((rowEdits, output) => {
    for (const edit of rowEdits) {
      if (edit.kind === 'callback') continue
      const editIds = 'ids' in edit ? edit.ids : []
      const kept = 'minTokensToKeep' in edit ? edit.minTokensToKeep : 0
      quintuples.push(output, EditKind[edit.kind], count, editIds.length, kept)
      values.push(editValue(edit))
      ids.push(editIds)
      count += editIds.length
    }
  })
  return {
    candidates,
    logits,
    edits: Int32Array.from(quintuples),
    editValues: Float64Array.from(values),
    editIds: Int32Array.from(ids.flat()),
    beamScores: Float32Array.from(beamScores),
    draw: draw === undefined ? null : { ...draw, rows: Int32Array.from(draw.rows) },
  }
}

function editValue(edit: NativeEdit): number {
  switch (edit.kind) {
    case 'penalize':
      return edit.penalty
    case 'add':
      return edit.bias
    case 'decay':
      return edit.factor
    default:
      return 'value' in edit ? edit.value : 0
  }
}
