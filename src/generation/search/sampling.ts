import type { Decoder, DecoderState } from '../decoder.ts'
import type { FinishReason } from '../stopping.ts'
import { firstToken, type SearchRequest, type SearchRun, textRules } from './search.ts'
import { Steps } from './steps.ts'

/** A text that is being drawn. */
interface Sample {
  sequence: number
  ids: number[]
  finishReason: FinishReason | undefined
}

/** Draws every token from its distribution; several texts of one prompt share the reading of it and its generator. */
export async function* samplingSearch(decoder: Decoder, request: SearchRequest, signal?: AbortSignal): SearchRun {
  const { numReturnSequences: count, seed = 0 } = request.config
  const state = await decoder.start(request.prompt, signal)
  const steps = new Steps(decoder, state, request, signal)
  try {
    const { rowRules, finishRule } = textRules(decoder, state, request)
    const generator = decoder.createGenerator(seed)
    const samples: Sample[] = Array.from({ length: count }, (_, sequence) => ({
      sequence,
      ids: [...state.promptIds],
      finishReason: undefined,
    }))
    let living = samples
    const options = () => ({
      candidates: 1,
      edits: living.map(({ ids }) => rowRules(ids)),
      draw: { generator, rows: living.map(({ sequence }) => sequence), matrixRows: count },
    })
    const unread = await readPrompt(decoder, state, { count, signal })
    steps.begin(() => ({ unread, options: options() }))
    while (living.length > 0) {
      const rows = await steps.rows()
      const events = living.map((sample, place) => {
        const token = firstToken(rows[place])
        sample.ids.push(token)
        sample.finishReason = finishRule(sample.ids)
        return { kind: 'token' as const, sequence: sample.sequence, token, finishReason: sample.finishReason }
      })
      const places = [...living.keys()].filter((place) => living[place]?.finishReason === undefined)
      const hasEnded = places.length < living.length
      living = living.filter(({ finishReason }) => finishReason === undefined)
      if (living.length > 0) {
        steps.begin(() => {
          if (hasEnded) decoder.reorder(state, places)
          return { unread: living.map(({ ids }) => ids.slice(-1)), options: options() }
        })
      }
      yield* events
    }
    return samples.map(({ ids, finishReason }) => ({
      ids: ids.slice(state.promptIds.length),
      score: null,
      finishReason,
    }))
  } finally {
    await steps.end()
  }
}

/** Makes `count` rows that have all read the prompt but for what is returned; a long prompt is read once for all. */
async function readPrompt(
  decoder: Decoder,
  state: DecoderState,
  { count, signal }: { count: number; signal: AbortSignal | undefined },
): Promise<readonly (readonly number[])[]> {
  if (count === 1) return [state.promptIds]
  let unread = state.promptIds
  if (state.promptIds.length - state.padding > 1) {
    await decoder.step(state, [state.promptIds.slice(0, -1)], { candidates: 1 }, signal)
    unread = state.promptIds.slice(-1)
  }
  decoder.reorder(state, new Array<number>(count).fill(0))
  return new Array<readonly number[]>(count).fill(unread)
}
