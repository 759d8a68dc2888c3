import { TandemError } from '../errors.ts'
import type { GgufValue } from '../formats/gguf/types.ts'
import { type Fields, isJsonObject } from './fields.ts'
import { hasByteLevel, precompiledCharsmap, spaceFlags } from './metaspace.ts'
import { preTokenizer } from './pre-tokenizer.ts'
import { TokenTable, TokenType } from './token-table.ts'

/** Added tokens that the reference takes for control tokens although tokenizer.json does not say so. */
const LOOKS_SPECIAL = /^(<\|.*\|>|<｜.*｜>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\])$/s

/** What the reference gives to rows of the embedding that no token uses. */
const UNUSED_SCORE = -10_000

/**
 * The `tokenizer.ggml.*` keys of a vocabulary, so that llama.cpp loads the file and shows its tokens; Tandem itself
 * tokenises with the whole tokenizer.json. Byte-level BPE is llama.cpp's `gpt2`, everything else its `t5`: that is
 * Unigram, as T5 has it, and the only kind that llama.cpp can tokenise with when a vocabulary (ChatLM's) lacks bytes.
 * @param size rows of the model's embedding; ids above the last token become `[PAD…]` as in the reference converter
 * @throws TandemError `invalid-file`, or `unsupported-model` for another kind of tokenizer
 */
export function vocabularyKeys(tokenizer: Fields, size: number): Record<string, GgufValue> {
  const model = tokenizer.section('model')
  const type = model?.get('type') ?? (model?.get('merges') === undefined ? undefined : 'BPE')
  if (model !== undefined && type === 'Unigram') return unigramKeys(tokenizer, model, size)
  if (model !== undefined && type === 'BPE') {
    const isByteLevel = hasByteLevel(tokenizer.get('pre_tokenizer'))
    return isByteLevel ? byteLevelKeys(tokenizer, model, size) : spaceKeys(tokenizer, model, size)
  }
  throw new TandemError('unsupported-model', `The tokenizer of ${tokenizer.file} is not supported`, {
    expected: 'a model of type BPE or Unigram',
    received: JSON.stringify(type) ?? 'none',
  })
}

function byteLevelKeys(tokenizer: Fields, model: Fields, size: number): Record<string, GgufValue> {
  const table = new TokenTable(tokenizer.file, size)
  addPieces(table, model)
  for (const { content, id, special } of addedTokens(tokenizer)) {
    if (special === true || LOOKS_SPECIAL.test(content)) table.set(content, id, TokenType.control)
    else table.set(content.replaceAll('▁', ' '), id, TokenType.userDefined)
  }
  return {
    'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
    ...preTokenizer(tokenizer),
    ...table.keys(),
    'tokenizer.ggml.merges': { type: 'array', items: 'string', value: merges(model) },
  }
}

/** The same score for every token: then the segmentation with the fewest tokens wins, which is near to BPE. */
function spaceKeys(tokenizer: Fields, model: Fields, size: number): Record<string, GgufValue> {
  const table = new TokenTable(tokenizer.file, size)
  addPieces(table, model)
  const scores = Float32Array.from(table.types, (type) => (type === TokenType.unused ? UNUSED_SCORE : -1))
  for (const { content, id, special } of addedTokens(tokenizer)) {
    const type = special === true ? TokenType.control : TokenType.userDefined
    table.set(content, id, content === model.get('unk_token') ? TokenType.unknown : type)
  }
  return { ...table.keys(), ...sentencePieceKeys(tokenizer, scores) }
}

function unigramKeys(tokenizer: Fields, model: Fields, size: number): Record<string, GgufValue> {
  const table = new TokenTable(tokenizer.file, size)
  const scores = new Float32Array(size).fill(UNUSED_SCORE)
  const vocabulary = model.get('vocab')
  if (!Array.isArray(vocabulary)) throw model.invalid('vocab', 'pairs of a piece and its score')
  for (const [id, piece] of vocabulary.entries()) {
    if (!isScoredPiece(piece)) throw model.invalid('vocab', 'pairs of a piece and its score')
    table.add(piece[0], id)
    scores[id] = piece[1]
  }
  for (const { content, id, special } of addedTokens(tokenizer)) {
    table.set(content, id, special === true ? TokenType.control : TokenType.userDefined)
  }
  const unknown = model.index('unk_id')
  if (unknown !== undefined && unknown < size) table.types[unknown] = TokenType.unknown
  return { ...table.keys(), ...sentencePieceKeys(tokenizer, scores) }
}

function sentencePieceKeys(tokenizer: Fields, scores: Float32Array): Record<string, GgufValue> {
  const charsmap = precompiledCharsmap(tokenizer.get('normalizer'))
  const keys: Record<string, GgufValue> = {
    'tokenizer.ggml.model': { type: 'string', value: 't5' },
    'tokenizer.ggml.pre': { type: 'string', value: 'default' },
    'tokenizer.ggml.scores': { type: 'array', items: 'float32', value: scores },
    ...spaceFlags(tokenizer),
    // Said outright, because llama.cpp would add an end token on its own.
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
    'tokenizer.ggml.add_eos_token': { type: 'bool', value: false },
  }
  if (charsmap !== undefined) {
    keys['tokenizer.ggml.precompiled_charsmap'] = { type: 'array', items: 'uint8', value: charsmap }
  }
  return keys
}

function addPieces(table: TokenTable, model: Fields): void {
  const vocabulary = model.get('vocab')
  if (!isJsonObject(vocabulary)) throw model.invalid('vocab', 'an object of tokens and their ids')
  for (const text of Object.keys(vocabulary)) {
    const id = vocabulary[text]
    if (typeof id !== 'number') throw model.invalid('vocab', 'an object of tokens and their ids')
    table.add(text, id)
  }
}

function addedTokens(tokenizer: Fields): { id: number; content: string; special?: unknown }[] {
  const added = tokenizer.get('added_tokens') ?? []
  if (Array.isArray(added) && added.every(isAddedToken)) return added
  throw tokenizer.invalid('added_tokens', 'objects with id and content')
}

/**
 * Merges as `first second`. tokenizer.json has pairs, or before tokenizers 0.20 such strings. llama.cpp splits them at
 * the space, so a space inside a part is written as U+0120, its byte-level form.
 */
function merges(model: Fields): string[] {
  const list = model.get('merges') ?? []
  if (!Array.isArray(list)) throw model.invalid('merges', 'pairs of tokens')
  return list.map((merge: unknown) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    if (!isPair(pair)) throw model.invalid('merges', 'pairs of tokens')
    return typeof merge === 'string' ? merge : pair.map((part) => part.replaceAll(' ', 'Ġ')).join(' ')
  })
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'string')
}

function isScoredPiece(value: unknown): value is [string, number] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number'
}

function isAddedToken(value: unknown): value is { id: number; content: string; special?: unknown } {
  return isJsonObject(value) && typeof value['id'] === 'number' && typeof value['content'] === 'string'
}
