import type { Decoder } from '../decoder.ts'
import { firstToken, type SearchRequest, type SearchRun, textRules } from './search.ts'

/** The most probable token at every step. */
export async function* greedySearch(decoder: Decoder, request: SearchRequest, signal?: AbortSignal): SearchRun {
  const state = await decoder.start(request.prompt, signal)
  try {
    const { rowRules, finishRule } = textRules(decoder, state, request)
    const ids = [...state.promptIds]
    let unread = state.promptIds
    while (true) {
      const [row] = await decoder.step(state, [unread], { candidates: 1, edits: [rowRules(ids)] }, signal)
      const token = firstToken(row)
      ids.push(token)
      const finishReason = finishRule(ids)
      yield { kind: 'token', sequence: 0, token, finishReason }
      if (finishReason !== undefined) {
        return [{ ids: ids.slice(state.promptIds.length), score: null, finishReason }]
      }
      unread = [token]
    }
  } finally {
    await decoder.dispose(state)
  }
}
