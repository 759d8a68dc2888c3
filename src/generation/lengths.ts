import { TandemError } from '../errors.ts'
import type { GenerationConfig } from './options.ts'

type Lengths = Pick<GenerationConfig, 'maxNewTokens' | 'maxLength' | 'maxPositions'>

/** New tokens when nobody says how many (transformers 5). */
const DEFAULT_NEW_TOKENS = 20

/**
 * Length at which the decoder's ids end, its prompt of `promptLength` ids included.
 *
 * @throws TandemError `invalid-argument` when the prompt is that long already
 */
export function lengthLimit({ maxNewTokens, maxLength, maxPositions }: Lengths, promptLength: number): number {
  if (maxNewTokens !== undefined) return promptLength + maxNewTokens
  const byDefault = Math.min(promptLength + DEFAULT_NEW_TOKENS, maxPositions ?? Number.POSITIVE_INFINITY)
  const limit = maxLength ?? byDefault
  if (promptLength < limit) return limit
  throw new TandemError('invalid-argument', 'The prompt leaves no room for new tokens', {
    expected: `a prompt of fewer than ${limit} tokens (max_length)`,
    received: `${promptLength}`,
    remedy: 'Set max_new_tokens',
  })
}
