import { TandemError } from '../errors.ts'
import { isObject } from './config.ts'

/** A word is looked up once for every pair of its places; the models in use say 100. */
const MAX_WORD_LENGTH = 1_000

/**
 * What the library takes for granted in the model of a tokenizer.json, or leaves to chance.
 * @throws TandemError `invalid-file`
 */
export function requireSoundModel(model: unknown): void {
  if (!isObject(model)) return
  const { vocab, merges, max_input_chars_per_word: wordLength } = model
  if (isObject(vocab)) requireDistinctIds(vocab)
  if (isObject(vocab) && Array.isArray(merges)) requireMergeTokens(vocab, merges, model['continuing_subword_prefix'])
  if (typeof wordLength === 'number' && wordLength > MAX_WORD_LENGTH) {
    throw invalid('a max_input_chars_per_word that is too large', `at most ${MAX_WORD_LENGTH}`, `${wordLength}`)
  }
}

/** Of two tokens with one id the library shows sometimes this, sometimes that. */
function requireDistinctIds(vocab: Record<string, unknown>): void {
  const seen = new Set<unknown>()
  for (const text of Object.keys(vocab)) {
    const id = vocab[text]
    if (seen.has(id)) throw invalid(`id ${String(id)} twice`, 'each token one id of its own', JSON.stringify(text))
    seen.add(id)
  }
}

/**
 * `models/bpe/model.rs`: both halves of a merge and what they make are written into a buffer as long as the longest
 * token, and the prefix is cut off the second half without looking.
 */
function requireMergeTokens(vocab: Record<string, unknown>, merges: unknown[], prefix: unknown): void {
  const cut = typeof prefix === 'string' ? prefix : ''
  for (const merge of merges) {
    const [first, second, ...more]: unknown[] = typeof merge === 'string' ? merge.split(' ') : [merge].flat()
    // What is no pair of texts the library refuses itself.
    if (typeof first !== 'string' || typeof second !== 'string' || more.length > 0) continue
    if (!second.startsWith(cut)) {
      const expected = `a second half that starts with ${JSON.stringify(cut)}`
      throw invalid('a merge without its continuing_subword_prefix', expected, JSON.stringify(merge))
    }
    const parts = [first, second, first + second.slice(cut.length)]
    const absent = parts.find((part) => !Object.hasOwn(vocab, part))
    if (absent !== undefined) {
      const expected = `${JSON.stringify(absent)} in its vocab`
      throw invalid('a merge of a token that is absent', expected, `${JSON.stringify(merge)} without it`)
    }
  }
}

function invalid(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-file', `tokenizer.json has ${problem}`, {
    expected,
    received: received.length > 200 ? `${received.slice(0, 200)}…` : received,
  })
}
