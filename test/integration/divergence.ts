import type { Decoder, RowCandidates } from '../../src/generation/decoder.ts'

/** The distributions before each of `ids`, whatever the model itself would have said. */
export async function forced(decoder: Decoder, inputIds: number[], ids: readonly number[]): Promise<RowCandidates[]> {
  const state = await decoder.start({ inputIds, attentionMask: inputIds.map(() => 1) })
  const steps: RowCandidates[] = []
  try {
    for (const tokens of [[...state.promptIds], ...ids.slice(0, -1).map((id) => [id])]) {
      steps.push(...(await decoder.step(state, [tokens], { candidates: 1, logits: true })))
    }
  } finally {
    await decoder.dispose(state)
  }
  return steps
}

/** Kullback–Leibler divergence of two rows of logits, nats. */
export function divergence(p: Float32Array | undefined, q: Float32Array | undefined): number {
  if (p === undefined || q === undefined || p.length !== q.length) return Number.NaN
  const [logP, logQ] = [logSoftmax(p), logSoftmax(q)]
  return logP.reduce((sum, value, i) => sum + Math.exp(value) * (value - (logQ[i] ?? 0)), 0)
}

function logSoftmax(row: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(row)
  const largest = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const total = largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0))
  return values.map((value) => value - total)
}
