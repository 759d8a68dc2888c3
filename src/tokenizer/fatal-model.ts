import { TandemError } from '../errors.ts'
import { isObject } from './config.ts'

/** A word is looked up once for every pair of its places; the models in use say 100. */
const MAX_WORD_LENGTH = 1_000

/**
 * What the library takes for granted in the model of a tokenizer.json.
 * @throws TandemError `invalid-file`
 */
export function requireSoundModel(model: unknown): void {
  if (!isObject(model)) return
  const { vocab, merges, max_input_chars_per_word: wordLength } = model
  if (isObject(vocab) && Array.isArray(merges)) requireSoundMerges(vocab, merges, model['continuing_subword_prefix'])
  if (typeof wordLength === 'number' && wordLength > MAX_WORD_LENGTH) {
    throw invalid('a max_input_chars_per_word that is too large', `at most ${MAX_WORD_LENGTH}`, `${wordLength}`)
  }
}

/**
 * `models/bpe/model.rs`: what a merge makes is written into a buffer as long as the longest token, and the prefix is cut
 * off the second half without looking. Halves that are absent, or no texts, the library refuses itself.
 */
function requireSoundMerges(vocab: Record<string, unknown>, merges: unknown[], prefix: unknown): void {
  const cut = typeof prefix === 'string' ? prefix : ''
  // The longest token seen, in UTF-16 units: each takes one to three bytes, so that a third of it fits whatever it is.
  let longest = 0
  let isLongest = false
  const fits = (units: number) => 3 * units <= longest
  // From the last one on, since merges make ever longer tokens: most of the others then fit without a look at them.
  for (let i = merges.length - 1; i >= 0; i--) {
    const merge = merges[i]
    if (cut === '' && typeof merge === 'string' && fits(merge.length - 1)) continue
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    const [first, second]: unknown[] = Array.isArray(pair) ? pair : []
    if (typeof first !== 'string' || typeof second !== 'string') continue
    if (cut !== '' && !second.startsWith(cut)) {
      const expected = `a second half that starts with ${JSON.stringify(cut)}`
      throw invalid('a merge without its continuing_subword_prefix', expected, JSON.stringify(merge))
    }
    if (fits(first.length + second.length)) continue
    const made = first + second.slice(cut.length)
    if (Object.hasOwn(vocab, made)) {
      longest = Math.max(longest, made.length)
      continue
    }
    if (!isLongest) longest = longestKey(vocab)
    isLongest = true
    if (fits(first.length + second.length)) continue
    throw invalid(
      'a merge into a token that is absent',
      `${JSON.stringify(made)} in its vocab`,
      `${JSON.stringify(merge)} without it`,
    )
  }
}

function longestKey(vocab: Record<string, unknown>): number {
  return Object.keys(vocab).reduce((most, token) => Math.max(most, token.length), 0)
}

function invalid(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-file', `tokenizer.json has ${problem}`, {
    expected,
    received: received.length > 200 ? `${received.slice(0, 200)}…` : received,
  })
}
