import type { GenerationConfig } from './options.ts'

/** Why a text ended: its end token, its length, or a stop string or time limit. */
export type FinishReason = 'eos' | 'length' | 'stop'

/** Whether the last of the ids completes a stop string. Only who has the tokenizer can tell. */
export type CompletesStopString = (ids: readonly number[]) => boolean

/** Looks at all ids of a text, the newest last: why it ends with that one, if it does. */
export type FinishRule = (ids: readonly number[]) => FinishReason | undefined

export function finishRule(
  { eosTokenIds, maxTime }: Pick<GenerationConfig, 'eosTokenIds' | 'maxTime'>,
  lengthLimit: number,
  completesStopString: CompletesStopString | undefined,
): FinishRule {
  const begin = performance.now()
  const isLate = () => maxTime !== undefined && performance.now() - begin > maxTime * 1000
  return (ids) => {
    if (eosTokenIds.includes(ids.at(-1) ?? -1)) return 'eos'
    if (completesStopString?.(ids) === true || isLate()) return 'stop'
    return ids.length >= lengthLimit ? 'length' : undefined
  }
}
