import type { Decoder, RowCandidates } from '../decoder.ts'
import { noToken, type SearchRequest, type SearchRun, textRules } from './search.ts'

/**
 * Contrastive search (Su et al. 2022; transformers 4.46): of the most probable tokens the one that best weighs its
 * probability against its likeness to all that has been written. The candidates are rows over one shared past; the row
 * of the chosen one goes on, so each step computes every candidate once.
 */
export async function* contrastiveSearch(decoder: Decoder, request: SearchRequest, signal?: AbortSignal): SearchRun {
  const { topK, penaltyAlpha } = request.config
  const state = await decoder.start(request.prompt, signal)
  try {
    const { rowRules, finishRule } = textRules(decoder, state, request)
    const ids = [...state.promptIds]
    const wanted = { candidates: Math.min(topK, decoder.vocabularySize), hiddenStates: true }
    const [prompt] = await decoder.step(state, [ids], { ...wanted, edits: [rowRules(ids)] }, signal)
    let row = prompt
    let parent = 0
    const past = new HiddenStates(prompt, state.promptIds.length - state.padding)
    while (true) {
      if (row === undefined || row.ids.length === 0) throw noToken()
      const tokens = Array.from(row.ids)
      decoder.reorder(state, new Array<number>(tokens.length).fill(parent))
      const edits = tokens.map((token) => rowRules([...ids, token]))
      const read = tokens.map((token) => [token])
      const rows = await decoder.step(state, read, { ...wanted, edits }, signal)
      parent = bestCandidate(row, rows, { past, penaltyAlpha })
      row = rows[parent]
      const token = tokens[parent]
      if (token === undefined) throw noToken()
      past.add(row)
      ids.push(token)
      const finishReason = finishRule(ids)
      yield { kind: 'token', sequence: 0, token, finishReason }
      if (finishReason !== undefined) {
        return [{ ids: ids.slice(state.promptIds.length), score: null, finishReason }]
      }
    }
  } finally {
    await decoder.dispose(state)
  }
}

/** The first of the candidates with the highest score; -1 when infinite values have left none. */
function bestCandidate(
  { scores, logSumExp }: RowCandidates,
  rows: readonly RowCandidates[],
  { past, penaltyAlpha }: { past: HiddenStates; penaltyAlpha: number },
): number {
  const worth = rows.map(({ hiddenStates }, i) => {
    const probability = Math.exp((scores[i] ?? 0) - logSumExp)
    return (1 - penaltyAlpha) * probability - penaltyAlpha * past.likeness(hiddenStates)
  })
  return worth.indexOf(Math.max(...worth))
}

/** The hidden states of all tokens so far, each of length 1. */
class HiddenStates {
  readonly #states: Float32Array[] = []

  constructor(prompt: RowCandidates | undefined, tokens: number) {
    const states = prompt?.hiddenStates ?? new Float32Array()
    const size = states.length / tokens
    for (let i = 0; i < tokens; i++) this.#states.push(unit(states.subarray(i * size, (i + 1) * size)))
  }

  add(row: RowCandidates | undefined): void {
    if (row !== undefined) this.#states.push(unit(row.hiddenStates))
  }

  /** The largest cosine with any state of the past. */
  likeness(state: Float32Array): number {
    const direction = unit(state)
    return this.#states.reduce((most, past) => Math.max(most, dot(direction, past)), Number.NEGATIVE_INFINITY)
  }
}

function unit(state: Float32Array): Float32Array {
  const length = Math.sqrt(dot(state, state))
  return state.map((value) => value / length)
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}
