import type { GenerationConfig } from '../options.ts'
import type { LogitsProcessor } from './processor.ts'

/** The filters of sampling. Beams need that many tokens: one to go on and every end token. */
export function warpers({ warpers, numBeams, eosTokenIds }: GenerationConfig): LogitsProcessor[] {
  const minTokensToKeep = numBeams > 1 ? eosTokenIds.length + 1 : 1
  return warpers.map((warper) => () => ({ ...warper, minTokensToKeep }))
}
