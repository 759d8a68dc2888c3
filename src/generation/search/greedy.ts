import { TandemError } from '../../errors.ts'
import type { Decoder, Prompt, RowCandidates } from '../decoder.ts'
import { logitsProcessors } from '../logits/processors.ts'
import { type GenerationConfig, lengthLimit } from '../options.ts'

/** A token that was found, and why it is the last one. */
export interface GreedyStep {
  token: number
  finishReason: 'eos' | 'length' | undefined
}

/**
 * The most probable token at every step, until an end-of-sequence token or the length limit. The decoder rejects with
 * `aborted` when the signal says so; leaving the loop frees its state.
 */
export async function* greedySearch(
  decoder: Decoder,
  prompt: Prompt,
  config: GenerationConfig,
  signal?: AbortSignal,
): AsyncGenerator<GreedyStep, void, void> {
  const state = await decoder.start(prompt, signal)
  try {
    const ids = state.promptIds.slice(state.padding)
    const limit = lengthLimit(config, state.promptIds.length) - state.padding
    const processors = logitsProcessors(config)
    let unread = state.promptIds
    while (true) {
      const edits = [processors.map((process) => process(ids))]
      const [row] = await decoder.step(state, [unread], { candidates: 1, edits }, signal)
      const token = best(row)
      ids.push(token)
      const finishReason = config.eosTokenIds.includes(token) ? 'eos' : ids.length >= limit ? 'length' : undefined
      yield { token, finishReason }
      if (finishReason !== undefined) return
      unread = [token]
    }
  } finally {
    await decoder.dispose(state)
  }
}

function best(row: RowCandidates | undefined): number {
  const token = row?.ids[0]
  if (token !== undefined && Number.isFinite(row?.scores[0])) return token
  throw new TandemError('compute-failed', 'No token has a finite score', {
    remedy: 'The weights hold values that are not numbers, or every token is forbidden',
  })
}
