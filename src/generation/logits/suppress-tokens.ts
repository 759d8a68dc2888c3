import type { LogitsProcessor } from './processor.ts'

export function suppressTokens(tokens: readonly number[]): LogitsProcessor {
  return () => ({ kind: 'ban', ids: tokens })
}

/** Bans tokens at one length only: where the text begins. */
export function beginSuppressTokens(tokens: readonly number[], begin: number): LogitsProcessor {
  return (ids) => (ids.length === begin ? { kind: 'ban', ids: tokens } : undefined)
}
