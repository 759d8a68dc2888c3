import type { RowEdit, Warper } from '../../src/generation/decoder.ts'

/** What C++ does to a row of scores, written down once more and in doubles; for searches over decoders without a model. */
export function editedRow(row: readonly number[], edits: readonly RowEdit[]): number[] {
  return edits.reduce<number[]>((scores, edit) => applied(scores, edit), [...row])
}

export function logSoftmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores)
  const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - largest), 0))
  return scores.map((score) => score - largest - total)
}

function applied(scores: number[], edit: RowEdit): number[] {
  const change = (ids: readonly number[], to: (score: number) => number) =>
    scores.map((score, id) => (ids.includes(id) ? to(score) : score))
  switch (edit.kind) {
    case 'penalize':
      return change(edit.ids, (score) => (score < 0 ? score * edit.penalty : score / edit.penalty))
    case 'ban':
      return change(edit.ids, () => Number.NEGATIVE_INFINITY)
    case 'keep':
      return scores.map((score, id) => (edit.ids.includes(id) ? score : Number.NEGATIVE_INFINITY))
    case 'force':
      return scores.map((_, id) => (edit.ids.includes(id) ? 0 : Number.NEGATIVE_INFINITY))
    case 'add':
      return change(edit.ids, (score) => score + edit.bias)
    case 'decay':
      return change(edit.ids, (score) => score + Math.abs(score) * edit.factor)
    case 'removeInvalid':
      return scores.map((score) => (Number.isNaN(score) ? 0 : Math.min(Math.max(score, -3.4e38), 3.4e38)))
    case 'logSoftmax':
      return logSoftmax(scores)
    case 'callback': {
      const row = Float32Array.from(scores)
      edit.process(row)
      return Array.from(row)
    }
    default:
      return warped(scores, edit)
  }
}

function warped(scores: number[], { kind, value, minTokensToKeep }: Warper): number[] {
  const keepBest = (count: number) => {
    const worst = [...scores].sort((a, b) => b - a)[Math.max(count, minTokensToKeep) - 1] ?? Number.NEGATIVE_INFINITY
    return scores.map((score) => (score < worst ? Number.NEGATIVE_INFINITY : score))
  }
  if (kind === 'temperature') return scores.map((score) => score / value)
  if (kind === 'topK') return keepBest(value)
  if (kind !== 'topP') throw new Error(`the fake decoder has no ${kind}`)
  const sorted = logSoftmax(scores)
    .map(Math.exp)
    .sort((a, b) => b - a)
  const mass = sorted.map((_, i) => sorted.slice(0, i + 1).reduce((sum, probability) => sum + probability, 0))
  return keepBest(mass.findIndex((sum) => sum >= value) + 1)
}
