import { describe, expect, it } from 'vitest'
import { Fields } from './fields.ts'
import { preTokenizer } from './pre-tokenizer.ts'

const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const split = (pattern: string) => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false })
const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers })
const byteLevel = (useRegex?: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, use_regex: useRegex })

const nameOf = (description: unknown) =>
  preTokenizer(new Fields('tokenizer.json', { pre_tokenizer: description }))['tokenizer.ggml.pre']?.value

describe('the name of a pre-tokenizer', () => {
  it.each([
    ['qwen2', sequence(split(QWEN2), byteLevel(false))],
    [
      'qwen35',
      sequence(
        split(QWEN2.replace('\\p{L}+', '[\\p{L}\\p{M}]+').replace('[^\\s\\p{L}', '[^\\s\\p{L}\\p{M}')),
        byteLevel(false),
      ),
    ],
    ['llama-bpe', sequence(split(QWEN2.replace('|\\p{N}|', '|\\p{N}{1,3}|')), byteLevel(false))],
    ['qwen2', sequence(sequence(split(QWEN2)), byteLevel(false))],
    ['gpt-2', byteLevel(true)],
    ['gpt-2', byteLevel()],
    ['gpt-2', sequence(byteLevel(true))],
  ])('is %s', (name, description) => expect(nameOf(description)).toBe(name))

  it.each([
    ['an unknown pattern', sequence(split('\\w+'), byteLevel(false))],
    ['no pattern at all', byteLevel(false)],
    ['a pattern of a known name with another step', sequence(split(QWEN2), { type: 'Digits' }, byteLevel(false))],
    ['two patterns', sequence(split(QWEN2), byteLevel(true))],
    ['a text in place of a pattern', sequence({ type: 'Split', pattern: { String: 'x' } }, byteLevel(false))],
  ])('is default for %s, and the file says what the pattern was', (_, description) => {
    const keys = preTokenizer(new Fields('tokenizer.json', { pre_tokenizer: description }))
    expect(keys['tokenizer.ggml.pre']).toEqual({ type: 'string', value: 'default' })
    expect(keys['tandem.pre_tokenizer']).toEqual({ type: 'string', value: JSON.stringify(description) })
  })
})
