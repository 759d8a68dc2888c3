import type { Decoder } from '../decoder.ts'
import { firstToken, type SearchRequest, type SearchRun, textRules } from './search.ts'
import { Steps } from './steps.ts'

/** The most probable token at every step. */
export async function* greedySearch(decoder: Decoder, request: SearchRequest, signal?: AbortSignal): SearchRun {
  const state = await decoder.start(request.prompt, signal)
  const steps = new Steps(decoder, state, request, signal)
  try {
    const { rowRules, finishRule } = textRules(decoder, state, request)
    const ids = [...state.promptIds]
    const read = (unread: readonly number[]) =>
      steps.begin(() => ({ unread: [unread], options: { candidates: 1, edits: [rowRules(ids)] } }))
    read(state.promptIds)
    while (true) {
      const [row] = await steps.rows()
      const token = firstToken(row)
      ids.push(token)
      const finishReason = finishRule(ids)
      if (finishReason === undefined) read([token])
      yield { kind: 'token', sequence: 0, token, finishReason }
      if (finishReason !== undefined) {
        return [{ ids: ids.slice(state.promptIds.length), score: null, finishReason }]
      }
    }
  } finally {
    await steps.end()
  }
}
