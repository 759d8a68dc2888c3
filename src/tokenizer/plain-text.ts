import { randomUUID } from 'node:crypto'
import { Tokenizer as Backend } from 'tokenizers'
import { TandemError } from '../errors.ts'
import { type AddedTokenEntry, isObject, parseObject } from './config.ts'
import type { PromptPart } from './text-tokenizer.ts'

/**
 * A tokenizer for which special tokens are nothing but text, as `encode_special_tokens` makes it in Rust. The library has
 * no setter for that in JavaScript, so the tokens get names that no text holds; those of the vocabulary itself need no
 * entry at all. All other added tokens keep their ids.
 *
 * @throws TandemError `unsupported-model` when the file does not allow that
 */
export function plainBackend(tokenizerJson: string, specials: readonly AddedTokenEntry[]): Backend {
  const file = parseObject(tokenizerJson, 'tokenizer.json')
  const names = new Set(specials.map(({ content }) => content))
  const vocabulary = vocabularyOf(file['model'])
  const entries = (Array.isArray(file['added_tokens']) ? file['added_tokens'] : []).filter(isObject)
  const added = entries.flatMap((entry): object[] => {
    const content = String(entry['content'])
    if (!names.has(content)) return [entry]
    // Not normalised: a normalizer that removes letters and digits must not make an empty token of it.
    const name = { content: randomUUID(), special: false, normalized: false, lstrip: false, rstrip: false }
    return vocabulary.has(content) ? [] : [{ ...entry, ...name }]
  })
  const backend = Backend.fromString(JSON.stringify({ ...file, added_tokens: added, post_processor: null }))
  for (const entry of entries) {
    const content = String(entry['content'])
    if (names.has(content) || backend.tokenToId(content) === entry['id']) continue
    throw new TandemError('unsupported-model', 'The tokenizer cannot read a special token as text', {
      expected: `${content} as id ${String(entry['id'])}`,
      received: String(backend.tokenToId(content)),
    })
  }
  return backend
}

/** Splits a text at the special tokens in it, the longest first where several begin. */
export function splitAtSpecialTokens(text: string, specials: readonly string[]): PromptPart[] {
  if (specials.length === 0) return text === '' ? [] : [text]
  const escaped = [...specials]
    .sort((a, b) => b.length - a.length)
    .map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  const parts = text.split(new RegExp(`(${escaped.join('|')})`))
  return parts.flatMap((part, i): PromptPart[] => (i % 2 === 1 ? [{ specialToken: part }] : part === '' ? [] : [part]))
}

/**
 * Replaces everything in a text that is a special token, or that could become a part of one together with what a template
 * puts beside it: the beginning of a token at the text's end, the end of one at its beginning.
 */
export function replaceSpecialPieces(
  text: string,
  specials: readonly string[],
  replace: (piece: string) => string,
): string {
  return splitAtSpecialTokens(text, specials)
    .map((part, i, parts) => {
      if (typeof part === 'object') return replace(part.specialToken)
      const head = i === 0 ? longest(specials, (token, length) => part.startsWith(token.slice(-length))) : 0
      const tail =
        i === parts.length - 1 ? longest(specials, (token, length) => part.endsWith(token.slice(0, length))) : 0
      if (head + tail >= part.length) return head + tail === 0 ? part : replace(part)
      const piece = (piece: string) => (piece === '' ? '' : replace(piece))
      return piece(part.slice(0, head)) + part.slice(head, part.length - tail) + piece(part.slice(part.length - tail))
    })
    .join('')
}

/** The largest length, below that of the token, with which a token meets the condition. */
function longest(tokens: readonly string[], meets: (token: string, length: number) => boolean): number {
  return tokens.reduce((most, token) => {
    for (let length = token.length - 1; length > most; length--) if (meets(token, length)) return length
    return most
  }, 0)
}

/** Text beside a special token that takes the spaces next to it. */
export function stripped(
  text: string,
  before: AddedTokenEntry | undefined,
  after: AddedTokenEntry | undefined,
): string {
  const left = before?.rightStrip === true ? text.trimStart() : text
  return after?.leftStrip === true ? left.trimEnd() : left
}

function vocabularyOf(model: unknown): ReadonlySet<string> {
  const vocab = isObject(model) ? model['vocab'] : undefined
  if (Array.isArray(vocab))
    return new Set(vocab.map((entry: unknown) => (Array.isArray(entry) ? String(entry[0]) : '')))
  return new Set(isObject(vocab) ? Object.keys(vocab) : [])
}
