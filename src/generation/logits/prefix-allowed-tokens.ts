import { TandemError } from '../../errors.ts'
import type { PrefixAllowedTokensFn } from '../options.ts'
import type { LogitsProcessor } from './processor.ts'

/** Only what the caller's function allows (De Cao et al. 2020). */
export function prefixAllowedTokens(allowed: PrefixAllowedTokensFn, vocabularySize: number): LogitsProcessor {
  return (ids) => {
    const answer: unknown = allowed([...ids])
    const isAnswer = Array.isArray(answer) && answer.length > 0 && answer.every((id) => isToken(id, vocabularySize))
    if (isAnswer) return { kind: 'keep', ids: [...new Set(answer as number[])] }
    throw new TandemError('invalid-argument', 'prefix_allowed_tokens_fn must allow something', {
      expected: `a list of at least one id below ${vocabularySize}`,
      received: JSON.stringify(answer)?.slice(0, 80) ?? typeof answer,
    })
  }
}

function isToken(id: unknown, vocabularySize: number): boolean {
  return Number.isSafeInteger(id) && Number(id) >= 0 && Number(id) < vocabularySize
}
