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
  const longest = Object.keys(vocab).reduce((most, token) => Math.max(most, token.length), 0)
  for (const merge of merges) {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    const [first, second]: unknown[] = Array.isArray(pair) ? pair : []
    if (typeof first !== 'string' || typeof second !== 'string') continue
    if (cut !== '' && !second.startsWith(cut)) {
      const expected = `a second half that starts with ${JSON.stringify(cut)}`
      throw invalid('a merge without its continuing_subword_prefix', expected, JSON.stringify(merge))
    }
    // A UTF-16 unit takes one to three bytes: most merges fit whatever the units are.
    const isShort = 3 * (first.length + second.length) <= longest
    if (isShort || Object.hasOwn(vocab, first + second.slice(cut.length))) continue
    const expected = `${JSON.stringify(first + second.slice(cut.length))} in its vocab`
    throw invalid('a merge into a token that is absent', expected, `${JSON.stringify(merge)} without it`)
  }
}

function invalid(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-file', `tokenizer.json has ${problem}`, {
    expected,
    received: received.length > 200 ? `${received.slice(0, 200)}…` : received,
  })
}
