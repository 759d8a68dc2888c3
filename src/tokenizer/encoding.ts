import { TandemError } from '../errors.ts'
import type { SpecialTokenName } from './config.ts'
import type { BatchEncodeOptions, EncodedText, TextTokenizer } from './text-tokenizer.ts'

/** Refuses with `invalid-argument` what is no text. */
export function requireText(text: unknown): asserts text is string {
  if (typeof text === 'string') return
  throw new TandemError('invalid-argument', 'Only text can be encoded', {
    expected: 'a string',
    received: text === null ? 'null' : typeof text,
  })
}

/** Refuses with `invalid-argument` what is longer than `limit` characters. */
export function requireAtMost(limit: number, length: number, problem: string): void {
  if (length <= limit) return
  throw new TandemError('invalid-argument', problem, { expected: `at most ${limit} characters`, received: `${length}` })
}

/** The length a text is to be cut to, checked. */
export function requireLength(maxLength: number): number {
  if (Number.isSafeInteger(maxLength) && maxLength > 0) return maxLength
  throw new TandemError('invalid-argument', 'A text cannot be cut to this maxLength', {
    expected: 'an integer above 0',
    received: String(maxLength),
  })
}

/** Refuses with `invalid-argument` a list that holds something else than ids. */
export function requireIds(ids: readonly number[]): void {
  const wrong = ids.find((id) => !Number.isSafeInteger(id) || id < 0)
  if (wrong === undefined) return
  throw new TandemError('invalid-argument', 'A token id is not an id', {
    expected: 'an integer of at least 0',
    received: String(wrong),
  })
}

/** A special token that something cannot do without. */
export function requireSpecialToken(
  tokenizer: Pick<TextTokenizer, 'specialTokens' | 'specialTokenId'>,
  name: SpecialTokenName,
  purpose: string,
): { id: number; token: string } {
  const token = tokenizer.specialTokens[name]
  const id = tokenizer.specialTokenId(name)
  if (token !== undefined && id !== undefined) return { id, token }
  throw new TandemError('unsupported-model', `The tokenizer has no ${name} token to ${purpose} with`, {
    remedy: `Name one as ${name}_token in tokenizer_config.json and convert the model again`,
  })
}

/** `TextTokenizer.encodeBatch` by means of `encode`. */
export async function encodeBatch(
  tokenizer: TextTokenizer,
  texts: readonly string[],
  options: BatchEncodeOptions,
): Promise<EncodedText[]> {
  const { paddingSide = tokenizer.paddingSide, ...encodeOptions } = options
  const encoded = await Promise.all(texts.map((text) => tokenizer.encode(text, encodeOptions)))
  const width = encoded.reduce((longest, { inputIds }) => Math.max(longest, inputIds.length), 0)
  if (encoded.every(({ inputIds }) => inputIds.length === width)) return encoded
  const pad = requireSpecialToken(tokenizer, 'pad', 'fill texts of unequal length')
  return encoded.map((row) => {
    const missing = width - row.inputIds.length
    const fill = <T>(values: T[], value: T): T[] => {
      const filling = new Array<T>(missing).fill(value)
      return paddingSide === 'left' ? [...filling, ...values] : [...values, ...filling]
    }
    return {
      inputIds: fill(row.inputIds, pad.id),
      attentionMask: fill(row.attentionMask, 0),
      tokens: fill(row.tokens, pad.token),
    }
  })
}
