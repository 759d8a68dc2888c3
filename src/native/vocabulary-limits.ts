import { TandemError } from '../errors.ts'
import { arrayLength, type MetadataValue, type ModelFile } from './model-file.ts'

/** libllama builds tries token by token and calls itself for every byte; the longest tokens in use have some 500. */
const MAX_TOKEN_BYTES = 4096

/** The values of `tokenizer.ggml.model` that libllama reads merges for. */
const MERGING_MODELS: readonly string[] = ['gpt2', 'gemma4', 'hybriddna', 'whitespace']

/**
 * What libllama of llama.cpp v0.5.0 takes for granted in the tokenizer of a file: where it does not hold, libllama reads
 * beyond an array, never returns, or ends the process.
 *
 * @throws TandemError `invalid-file`
 */
export function checkVocabulary(file: ModelFile): void {
  const tokens = stringArray(file, 'tokenizer.ggml.tokens')
  if (tokens === undefined) return
  const texts = tokens.map(tokenText)
  checkTokens(texts)
  checkArrays(file, tokens.length)
  checkTokenIds(file, tokens.length)
  const model = textValue(file, 'tokenizer.ggml.model')
  if (textValue(file, 'tokenizer.ggml.pre') === 'whitespace' && model !== 'whitespace') {
    // `find_bpe_rank` asserts that no word holds a space, and this pre-tokenizer makes words of spaces.
    throw new TandemError('invalid-file', 'tokenizer.ggml.pre does not fit tokenizer.ggml.model', {
      expected: 'another pre-tokenizer than whitespace',
      received: String(model),
    })
  }
  if (model === 'rwkv' || model === 'plamo2') checkReadable(tokens)
  if (model === 'rwkv') checkSingleBytes(texts)
}

/** An array of strings of the file, undefined where there is none. */
export function stringArray(file: ModelFile, key: string): readonly (string | Uint8Array)[] | undefined {
  const entry = file.metadata.get(key)
  if (entry === undefined) return undefined
  if (entry.type === 'array' && entry.items === 'string') return entry.value as readonly (string | Uint8Array)[]
  throw wrongType(key, 'an array of strings', entry)
}

function textValue(file: ModelFile, key: string): string | undefined {
  const value = file.metadata.get(key)?.value
  return typeof value === 'string' ? value : undefined
}

/**
 * What libllama sees of a token: a string of C, which ends at the first NUL, and a name in place of nothing. Bytes that are
 * no UTF-8 keep their values, behind a mark that tells them from text.
 */
function tokenText(token: string | Uint8Array, id: number): string {
  const text = typeof token === 'string' ? token : `\uFFFF${Buffer.from(token).toString('latin1')}`
  const end = text.indexOf('\0')
  return (end < 0 ? text : text.slice(0, end)) || `[EMPTY_${id}]`
}

function checkTokens(texts: readonly string[]): void {
  if (texts.length === 0) throw new TandemError('invalid-file', 'tokenizer.ggml.tokens is empty')
  const seen = new Set<string>()
  for (const [id, text] of texts.entries()) {
    if (Buffer.byteLength(text) > MAX_TOKEN_BYTES) {
      throw new TandemError('invalid-file', `Token ${id} of tokenizer.ggml.tokens is too long`, {
        expected: `at most ${MAX_TOKEN_BYTES} bytes`,
        received: String(Buffer.byteLength(text)),
      })
    }
    if (seen.has(text)) {
      throw new TandemError('invalid-file', 'tokenizer.ggml.tokens holds one token twice', {
        received: `${JSON.stringify(text)} again as id ${id}`,
      })
    }
    seen.add(text)
  }
}

/** Arrays that run parallel to the tokens, and arrays that libllama reads with a type in mind. */
function checkArrays(file: ModelFile, tokenCount: number): void {
  const rules: { key: string; items: readonly string[]; least: number }[] = [
    { key: 'tokenizer.ggml.scores', items: ['float32', 'int32'], least: tokenCount },
    { key: 'tokenizer.ggml.token_type', items: ['int32'], least: tokenCount },
    { key: 'tokenizer.ggml.merges', items: ['string'], least: 0 },
    { key: 'tokenizer.ggml.suppress_tokens', items: ['int32'], least: 0 },
    { key: 'tokenizer.ggml.precompiled_charsmap', items: ['uint8', 'int8'], least: 4 },
  ]
  for (const { key, items, least } of rules) {
    const entry = file.metadata.get(key)
    if (entry === undefined) continue
    if (entry.type !== 'array' || !items.includes(entry.items ?? '')) {
      throw wrongType(key, `an array of ${items.join(' or ')}`, entry)
    }
    const length = arrayLength(entry)
    if (length >= least) continue
    throw new TandemError('invalid-file', `${key} is too short`, {
      expected: `at least ${least} values`,
      received: String(length),
    })
  }
  const model = textValue(file, 'tokenizer.ggml.model') ?? ''
  const needsMerges = MERGING_MODELS.includes(model) && textValue(file, 'tokenizer.ggml.pre') !== 'kimi-k2'
  if (!needsMerges || file.metadata.has('tokenizer.ggml.merges')) return
  throw new TandemError('invalid-file', `A tokenizer of the kind ${model} needs tokenizer.ggml.merges`)
}

/** `tokenizer.ggml.eos_token_id` and all others of that form. */
function checkTokenIds(file: ModelFile, tokenCount: number): void {
  for (const [key, entry] of file.metadata) {
    if (!/^tokenizer\.ggml\.\w+_token_id$/.test(key)) continue
    if (entry.type !== 'uint32') throw wrongType(key, 'a uint32', entry)
    if (Number(entry.value) < tokenCount) continue
    throw new TandemError('invalid-file', `${key} is not in the vocabulary`, {
      expected: `at most ${tokenCount - 1}`,
      received: String(entry.value),
    })
  }
}

/** libllama's RWKV tokenizer never leaves a byte with which tokens begin unless it is a token itself. */
function checkSingleBytes(texts: readonly string[]): void {
  const tokens = texts.map(rwkvBytes)
  const singles = new Set(tokens.filter(({ length }) => length === 1).map(([byte]) => byte))
  const id = tokens.findIndex(([byte]) => byte !== undefined && !singles.has(byte))
  if (id < 0) return
  throw new TandemError('invalid-file', 'An RWKV tokenizer needs its bytes as tokens', {
    expected: `a token for byte ${tokens[id]?.[0]}, with which token ${id} begins`,
  })
}

/** Bytes of a token that is written as Python writes `bytes`. */
function rwkvBytes(text: string): Buffer {
  const known: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' }
  const parts = text.match(/\\x[0-9a-f]{2}|\\[^x]|[^\\]/gu) ?? []
  if (parts.join('') !== text) {
    throw new TandemError('invalid-file', 'A token of an RWKV tokenizer is badly escaped', {
      received: JSON.stringify(text),
    })
  }
  return Buffer.concat(
    parts.map((part) => {
      if (part.startsWith('\\x')) return Buffer.from(part.slice(2), 'hex')
      const character = part.startsWith('\\') ? part.slice(1) : part
      return Buffer.from(part === character ? character : (known[character] ?? character))
    }),
  )
}

/** libllama's PLaMo-2 tokenizer reads beyond its tables where a token is no UTF-8; RWKV's are ASCII. */
function checkReadable(tokens: readonly (string | Uint8Array)[]): void {
  const id = tokens.findIndex((token) => typeof token !== 'string')
  if (id < 0) return
  throw new TandemError('invalid-file', `Token ${id} of tokenizer.ggml.tokens is not UTF-8`)
}

function wrongType(key: string, expected: string, { type, items }: MetadataValue): TandemError {
  return new TandemError('invalid-file', `${key} has the wrong type`, {
    expected,
    received: type === 'array' ? `an array of ${items}` : `a ${type}`,
  })
}
