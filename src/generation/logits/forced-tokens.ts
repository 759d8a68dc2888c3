import type { LogitsProcessor } from './processor.ts'

/** The first token after a prompt of one token; a longer prompt has said how the text begins. */
export function forcedBosToken(id: number): LogitsProcessor {
  return (ids) => (ids.length === 1 ? { kind: 'force', ids: [id] } : undefined)
}

/** The last token that the length limit allows. */
export function forcedEosToken(eosTokenIds: readonly number[], lengthLimit: number): LogitsProcessor {
  return (ids) => (ids.length === lengthLimit - 1 ? { kind: 'force', ids: eosTokenIds } : undefined)
}
