import { TandemError } from '../errors.ts'
import { isObject } from './config.ts'
import { repeatsRepetition } from './pattern.ts'

/*
 * The Rust library was built without unwinding: a panic ends the whole process. These are the places of tokenizers 0.23.2
 * where a file or a text can make it panic, found by changing good files at random, and what must not reach them.
 */

/** Longest text that is encoded, in UTF-16 units. A run of 10 million spaces exceeds Oniguruma's limit of retries. */
export const MAX_TEXT_LENGTH = 4_194_304

/** Refuses with `invalid-file` what panics while the library reads a file. */
export function refuseFatalModel(file: Record<string, unknown>): void {
  requireMergePrefix(file['model'])
}

/** Refuses with `invalid-file` what panics while it encodes or decodes; the library has read the file before. */
export function refuseFatalSteps(file: Record<string, unknown>): void {
  requireTemplateTokens(file['post_processor'])
  for (const step of ['normalizer', 'pre_tokenizer', 'decoder']) requireHarmlessPatterns(file[step])
}

/** `models/bpe/model.rs`: the prefix is cut off the second half of every merge without looking. */
function requireMergePrefix(model: unknown): void {
  if (!isObject(model) || !Array.isArray(model['merges'])) return
  const prefix = model['continuing_subword_prefix']
  if (typeof prefix !== 'string' || prefix === '') return
  const bad = model['merges'].find((merge: unknown) => {
    const halves: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    return !(Array.isArray(halves) && typeof halves[1] === 'string' && halves[1].startsWith(prefix))
  })
  if (bad === undefined) return
  throw new TandemError('invalid-file', 'tokenizer.json has a merge without its continuing_subword_prefix', {
    expected: `a second half that starts with ${JSON.stringify(prefix)}`,
    received: JSON.stringify(bad),
  })
}

/** `processors/template.rs`: tokens of a template, whatever type it claims, are taken from `special_tokens` unseen. */
function requireTemplateTokens(processor: unknown): void {
  if (!isObject(processor)) return
  if (Array.isArray(processor['processors'])) processor['processors'].forEach(requireTemplateTokens)
  const known = isObject(processor['special_tokens']) ? processor['special_tokens'] : {}
  const pieces = [processor['single'], processor['pair']]
    .flat()
    .map((piece) => isObject(piece) && piece['SpecialToken'])
  const unknown = pieces.find((piece) => isObject(piece) && !Object.hasOwn(known, String(piece['id'])))
  if (unknown === undefined) return
  throw new TandemError('invalid-file', 'tokenizer.json has a template with an unknown special token', {
    expected: `one of ${Object.keys(known).join(', ')}`,
    received: JSON.stringify(unknown),
  })
}

/** `onig`: a pattern that tries exponentially many ways exceeds the limit of retries on a short text. */
function requireHarmlessPatterns(step: unknown): void {
  if (typeof step !== 'object' || step === null) return
  for (const [key, value] of Object.entries(step)) {
    if (key !== 'Regex' || typeof value !== 'string') requireHarmlessPatterns(value)
    else if (repeatsRepetition(value)) {
      throw new TandemError('invalid-file', 'tokenizer.json has a pattern that can take exponential time', {
        expected: 'no repeated group that holds a repetition or alternatives, such as (a+)+',
        received: value,
      })
    }
  }
}
