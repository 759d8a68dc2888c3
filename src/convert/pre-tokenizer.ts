import type { GgufValue } from '../formats/gguf/types.ts'
import { type Fields, isJsonObject, type JsonObject } from './fields.ts'

/**
 * llama.cpp's names of split patterns, by the text of the pattern in tokenizer.json. The reference converter hashes the
 * result on a sample text instead, and so refuses every vocabulary that it has not seen.
 */
const PATTERNS: ReadonlyMap<string, string> = new Map([
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    'qwen2',
  ],
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    'qwen35',
  ],
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    'llama-bpe',
  ],
])

/**
 * `tokenizer.ggml.pre` of a byte-level tokenizer. For a pattern that llama.cpp has no name for it is `default`, whose
 * splits may differ from the model's, and `tandem.pre_tokenizer` keeps the description from tokenizer.json.
 */
export function preTokenizer(tokenizer: Fields): Record<string, GgufValue> {
  const description = tokenizer.get('pre_tokenizer')
  const name = recognise(steps(description))
  if (name !== undefined) return { 'tokenizer.ggml.pre': { type: 'string', value: name } }
  return {
    'tokenizer.ggml.pre': { type: 'string', value: 'default' },
    'tandem.pre_tokenizer': { type: 'string', value: JSON.stringify(description) },
  }
}

/** The members of nested sequences, in order. */
export function steps(description: unknown): JsonObject[] {
  if (!isJsonObject(description)) return []
  const inner = description['pretokenizers'] ?? description['normalizers']
  return description['type'] === 'Sequence' && Array.isArray(inner) ? inner.flatMap(steps) : [description]
}

function recognise(found: readonly JsonObject[]): string | undefined {
  const [first, second, ...more] = found
  if (first === undefined || more.length > 0) return undefined
  // ByteLevel alone splits with GPT-2's own pattern.
  if (second === undefined) return first['type'] === 'ByteLevel' && first['use_regex'] !== false ? 'gpt-2' : undefined
  const pattern = first['type'] === 'Split' && isJsonObject(first['pattern']) ? first['pattern']['Regex'] : undefined
  if (second['type'] !== 'ByteLevel' || second['use_regex'] !== false || typeof pattern !== 'string') return undefined
  return PATTERNS.get(pattern)
}
