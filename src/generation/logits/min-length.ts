import type { LogitsProcessor } from './processor.ts'

/** No end token below a length. */
export function minLength(length: number, eosTokenIds: readonly number[]): LogitsProcessor {
  return (ids) => (ids.length < length ? { kind: 'ban', ids: eosTokenIds } : undefined)
}
