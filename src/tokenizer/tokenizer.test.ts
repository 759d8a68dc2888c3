import { describe, expect, it } from 'vitest'
import { bare, byteLevel, metaspace, tokenizerJson } from '../../test/tokenizer/small-tokenizers.ts'
import { Tokenizer } from './tokenizer.ts'

const config = JSON.stringify({ eos_token: '<eos>', pad_token: { content: '<pad>' }, unk_token: null })

/** As Qwen2 and Qwen2.5 have it. */
const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

function coded(code: string): Error {
  return expect.objectContaining({ name: 'TandemError', code }) as Error
}

function split(Regex: string): object {
  return {
    type: 'Sequence',
    pretokenizers: [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }],
  }
}

describe('encode', () => {
  it('gives ids, mask and tokens, with the post-processor or without it', async () => {
    const tokenizer = new Tokenizer(metaspace, config)
    expect(await tokenizer.encode('b')).toEqual({
      inputIds: [3, 5, 1],
      attentionMask: [1, 1, 1],
      tokens: ['▁', 'b', '<eos>'],
    })
    expect((await tokenizer.encode('b', { addSpecialTokens: false })).inputIds).toEqual([3, 5])
    expect((await new Tokenizer(byteLevel).encode('')).inputIds).toEqual([])
  })

  it('appends the end token when asked, for texts that end with it too', async () => {
    const tokenizer = new Tokenizer(byteLevel, config)
    expect((await tokenizer.encode('a', { appendEos: true })).inputIds).toEqual([0x61, 257])
    expect((await tokenizer.encode('a<eos>', { appendEos: true })).inputIds).toEqual([0x61, 257, 257])
    await expect(new Tokenizer(byteLevel).encode('a', { appendEos: true })).rejects.toEqual(coded('unsupported-model'))
  })

  it('cuts at maxLength and keeps room for special tokens', async () => {
    const tokenizer = new Tokenizer(metaspace, config)
    expect((await tokenizer.encode('bbbb', { maxLength: 3 })).inputIds).toEqual([3, 5, 1])
    expect((await new Tokenizer(byteLevel, config).encode('abc', { maxLength: 2, appendEos: true })).inputIds).toEqual([
      0x61, 257,
    ])
    const left = new Tokenizer(byteLevel, JSON.stringify({ truncation_side: 'left' }))
    expect((await left.encode('abc', { maxLength: 2 })).inputIds).toEqual([0x62, 0x63])
    for (const maxLength of [0, -1, 1.5, Number.NaN]) {
      await expect(tokenizer.encode('a', { maxLength })).rejects.toEqual(coded('invalid-argument'))
    }
  })

  it('takes unpaired surrogates for U+FFFD, and NUL for a character', async () => {
    const tokenizer = new Tokenizer(byteLevel)
    const replacement = [0xef, 0xbf, 0xbd]
    for (const text of ['\uD800', '\uDC00', '\uFFFD'])
      expect((await tokenizer.encode(text)).inputIds).toEqual(replacement)
    expect((await tokenizer.encode('a\uD83Db')).inputIds).toEqual([0x61, ...replacement, 0x62])
    expect((await tokenizer.encode('\0')).inputIds).toEqual([0])
  })

  it('refuses what is no text', async () => {
    const tokenizer = new Tokenizer(byteLevel)
    for (const wrong of [undefined, null, 5, ['a'], {}]) {
      await expect(tokenizer.encode(wrong as unknown as string)).rejects.toEqual(coded('invalid-argument'))
    }
  })

  it.each([
    ['of a pattern in use', QWEN2, 4_194_304],
    ['of another pattern that looks back over a run', '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+', 65_536],
  ])('takes the longest text %s, and no longer one, which would overrun the matcher', async (_, pattern, limit) => {
    const vocabulary = ['<unk>', ' ']
    const tokenizer = new Tokenizer(tokenizerJson({ vocabulary, decoder: null, preTokenizer: split(pattern) }))
    expect((await tokenizer.encode(`${' '.repeat(limit - 1)}x`, { maxLength: 8 })).inputIds).toHaveLength(8)
    await expect(tokenizer.encode(' '.repeat(limit + 1))).rejects.toMatchObject({
      code: 'invalid-argument',
      expected: `at most ${limit} characters`,
      received: `${limit + 1}`,
    })
  })

  it('takes a long run of one character in linear time', async () => {
    const begin = performance.now()
    expect((await new Tokenizer(byteLevel).encode('A'.repeat(1_000_000))).inputIds).toHaveLength(1_000_000)
    expect(performance.now() - begin).toBeLessThan(20_000)
  })

  it('passes on what the library cannot encode', async () => {
    const model = { type: 'BPE', vocab: { a: 0 }, merges: [], unk_token: '<unk>' }
    const tokenizer = new Tokenizer(JSON.stringify({ version: '1.0', model }))
    await expect(tokenizer.encode('b')).rejects.toEqual(coded('invalid-file'))
  })

  it('answers calls that overlap', async () => {
    const tokenizer = new Tokenizer(metaspace, config)
    const texts = Array.from({ length: 50 }, (_, i) => 'ab'.repeat(i % 5))
    const lengths = texts.map((_, i) => 1 + (i % 3))
    const together = await Promise.all(texts.map((text, i) => tokenizer.encode(text, { maxLength: lengths[i] ?? 1 })))
    for (const [i, row] of together.entries()) {
      expect(row).toEqual(await tokenizer.encode(texts[i] ?? '', { maxLength: lengths[i] ?? 1 }))
    }
  })
})

describe('encodeBatch', () => {
  it('fills on either side and masks what it filled', async () => {
    const tokenizer = new Tokenizer(byteLevel, config)
    const [right] = await tokenizer.encodeBatch(['a', 'bc'])
    expect(right).toEqual({ inputIds: [0x61, 258], attentionMask: [1, 0], tokens: ['a', '<pad>'] })
    const [left] = await tokenizer.encodeBatch(['a', 'bc'], { paddingSide: 'left' })
    expect(left).toEqual({ inputIds: [258, 0x61], attentionMask: [0, 1], tokens: ['<pad>', 'a'] })
    const own = new Tokenizer(byteLevel, JSON.stringify({ pad_token: '<pad>', padding_side: 'left' }))
    expect((await own.encodeBatch(['a', 'bc']))[0]?.attentionMask).toEqual([0, 1])
    expect(await tokenizer.encodeBatch([])).toEqual([])
  })

  it('needs a pad token only for texts of unequal length', async () => {
    const tokenizer = new Tokenizer(byteLevel)
    expect(await tokenizer.encodeBatch(['a', 'b'])).toHaveLength(2)
    await expect(tokenizer.encodeBatch(['a', 'bc'])).rejects.toEqual(coded('unsupported-model'))
  })
})

describe('decode', () => {
  it('skips special tokens when asked, and ids that have no token always', () => {
    const tokenizer = new Tokenizer(byteLevel)
    expect(tokenizer.decode([0x61, 257, 999_999, 2 ** 40, 0x62])).toBe('a<eos>b')
    expect(tokenizer.decode([0x61, 257, 0x62], { skipSpecialTokens: true })).toBe('ab')
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.tokens([0x61, 999_999])).toEqual(['a', undefined])
    expect(new Tokenizer(bare).decode([1, 2, 3])).toBe('a b 你好')
  })

  it('refuses what is no id', () => {
    const tokenizer = new Tokenizer(byteLevel)
    for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number]) {
      expect(() => tokenizer.decode([wrong])).toThrow(coded('invalid-argument'))
    }
  })
})

describe('the two files', () => {
  it('may disagree: tokens that only the config knows are added, in the order of their ids', async () => {
    const tokenizer = new Tokenizer(
      byteLevel,
      JSON.stringify({
        added_tokens_decoder: { '260': { content: '<b>', special: true }, '259': { content: '<a>', special: false } },
        additional_special_tokens: ['<c>', '<eos>'],
        bos_token: '<s>',
      }),
    )
    expect((await tokenizer.encode('<a><b><s><c>')).inputIds).toEqual([259, 260, 261, 262])
    expect(tokenizer.decode([259, 260, 261, 262], { skipSpecialTokens: true })).toBe('<a>')
    expect(tokenizer.vocabularySize).toBe(263)
    expect(tokenizer.specialTokens).toEqual({ bos: '<s>' })
    expect(tokenizer.specialTokenId('bos')).toBe(261)
    expect(tokenizer.specialTokenId('cls')).toBeUndefined()
  })

  it('let add_bos_token and add_eos_token replace the post-processor', async () => {
    const flags = { bos_token: '<unk>', eos_token: '<eos>' }
    const encode = async (json: string, extra: object) =>
      (await new Tokenizer(json, JSON.stringify({ ...flags, ...extra })).encode('b')).inputIds
    expect(await encode(byteLevel, { add_bos_token: true, add_eos_token: true })).toEqual([256, 0x62, 257])
    expect(await encode(byteLevel, { add_bos_token: true })).toEqual([256, 0x62])
    expect(await encode(byteLevel, {})).toEqual([0x62])
    expect(await encode(metaspace, {})).toEqual([3, 5, 1])
    expect(await encode(metaspace, { add_eos_token: false })).toEqual([3, 5])
  })

  it('do not bring padding and truncation of a training run with them', async () => {
    const file = JSON.parse(byteLevel) as object
    const padding = {
      strategy: { Fixed: 8 },
      direction: 'Right',
      pad_to_multiple_of: null,
      pad_id: 258,
      pad_type_id: 0,
      pad_token: '<pad>',
    }
    const truncation = { direction: 'Right', max_length: 2, strategy: 'LongestFirst', stride: 0 }
    const tokenizer = new Tokenizer(JSON.stringify({ ...file, padding, truncation }))
    expect((await tokenizer.encode('abc')).inputIds).toEqual([0x61, 0x62, 0x63])
  })

  it.each([
    ['', undefined],
    ['not json', undefined],
    ['[]', undefined],
    ['{}', undefined],
    ['{"version":"1.0","model":{"type":"Nonsense"}}', undefined],
    [JSON.stringify({ version: '1.0', model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }), undefined],
    [JSON.stringify({ version: '1.0', model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }), undefined],
    [`{"version":"1.0","model":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, undefined],
    [tokenizerJson({ vocabulary: ['a'], decoder: { type: 'Nonsense' } }), undefined],
    [
      JSON.stringify({
        version: '1.0',
        model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'], continuing_subword_prefix: '##' },
      }),
      undefined,
    ],
    [metaspace.replace('"special_tokens":{"<eos>"', '"special_tokens":{"<bos>"'), undefined],
    [
      metaspace
        .replace('"TemplateProcessing"', '"Sequence"')
        .replace('"special_tokens":{"<eos>"', '"special_tokens":{"<bos>"'),
      undefined,
    ],
    [tokenizerJson({ vocabulary: ['a'], decoder: null, preTokenizer: split('(a+)+$') }), undefined],
    [byteLevel, 'not json'],
    [byteLevel, '[1]'],
  ])('are refused with invalid-file when they are bad (%#)', (json, tokenizerConfig) => {
    expect(() => new Tokenizer(json, tokenizerConfig)).toThrow(coded('invalid-file'))
  })
})
