import { TandemError } from '../../src/errors.ts'
import type { Decoder, DecoderState, Prompt, RowCandidates, StepOptions } from '../../src/generation/decoder.ts'

interface FakeState extends DecoderState {
  /** What each row has been fed. */
  past: number[][]
}

/** Which logits follow the ids that a row has been fed, padding included. */
export type Rule = (past: readonly number[], prompt: Prompt) => readonly number[]

/** A decoder whose logits a test writes down; it counts its living states and obeys every clause of the interface. */
export class FakeDecoder implements Decoder<FakeState> {
  readonly vocabularySize: number
  readonly #rule: Rule
  readonly #startTokenId: number | undefined
  readonly #prompts = new WeakMap<FakeState, Prompt>()
  alive = 0
  steps = 0

  /** With a `startTokenId` it is an encoder-decoder, without one decoder-only. */
  constructor(vocabularySize: number, rule: Rule, startTokenId?: number) {
    this.vocabularySize = vocabularySize
    this.#rule = rule
    this.#startTokenId = startTokenId
  }

  async start(prompt: Prompt, signal?: AbortSignal): Promise<FakeState> {
    rejectIfAborted(signal)
    this.alive += 1
    const isCausal = this.#startTokenId === undefined
    const promptIds = isCausal ? prompt.inputIds : [this.#startTokenId ?? 0]
    const padding = isCausal ? Math.max(prompt.attentionMask.indexOf(1), 0) : 0
    const state = { rows: 1, promptIds, padding, past: [[]] }
    this.#prompts.set(state, prompt)
    return state
  }

  async step(
    state: FakeState,
    tokens: readonly (readonly number[])[],
    options: StepOptions,
    signal?: AbortSignal,
  ): Promise<RowCandidates[]> {
    await Promise.resolve()
    rejectIfAborted(signal)
    this.steps += 1
    const prompt = this.#prompts.get(state) ?? { inputIds: [], attentionMask: [] }
    return tokens.map((fed, row) => {
      state.past[row]?.push(...fed)
      return candidates(edited(this.#rule(state.past[row] ?? [], prompt), options, row), options.candidates)
    })
  }

  reorder(state: FakeState, parents: readonly number[]): void {
    state.past = parents.map((parent) => [...(state.past[parent] ?? [])])
  }

  async dispose(state: FakeState): Promise<void> {
    if (this.#prompts.delete(state)) this.alive -= 1
  }
}

/** A row of logits in which `token` is the best of `size`. */
export function favouring(token: number, size: number): number[] {
  return Array.from({ length: size }, (_, id) => (id === token ? 4 : 1 - id / size))
}

/** The rule that says one token after the other, whatever it is fed; counted from the end of the prompt. */
export function script(words: readonly number[], size: number): Rule {
  const lengths = new Map<Prompt, number>()
  return (past, prompt) => {
    const begin = lengths.get(prompt) ?? past.length
    lengths.set(prompt, begin)
    return favouring(words[past.length - begin] ?? 0, size)
  }
}

function edited(row: readonly number[], { edits = [] }: StepOptions, index: number): number[] {
  const scores = [...row]
  for (const edit of edits[index] ?? []) {
    for (const id of edit.ids) {
      const score = scores[id] ?? 0
      if (edit.kind === 'ban') scores[id] = Number.NEGATIVE_INFINITY
      else scores[id] = score < 0 ? score * edit.penalty : score / edit.penalty
    }
  }
  return scores
}

function candidates(scores: readonly number[], count: number): RowCandidates {
  const ids = scores.map((_, id) => id).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b)
  return {
    ids: Int32Array.from(ids.slice(0, count)),
    scores: Float32Array.from(ids.slice(0, count), (id) => scores[id] ?? 0),
    logSumExp: Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0)),
  }
}

function rejectIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TandemError('aborted', 'The generation was aborted', { cause: signal.reason })
}
