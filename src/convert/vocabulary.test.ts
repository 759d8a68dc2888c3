import { describe, expect, it } from 'vitest'
import { Fields } from './fields.ts'
import { vocabularyKeys } from './vocabulary.ts'

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, use_regex: true }
const METASPACE = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' }

function keys(tokenizer: object, size = 6) {
  return vocabularyKeys(new Fields('tokenizer.json', { ...tokenizer }), size)
}

const added = (id: number, content: string, special = true) => ({ id, content, special, normalized: false })

describe('byte-level BPE', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']] }

  it('becomes gpt2 with types, fillers and merges', () => {
    const tokens = [added(3, '<s>'), added(4, '<tool>▁x', false)]
    expect(keys({ model, pre_tokenizer: BYTE_LEVEL, added_tokens: tokens })).toEqual({
      'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
      'tokenizer.ggml.pre': { type: 'string', value: 'gpt-2' },
      'tokenizer.ggml.tokens': { type: 'array', items: 'string', value: ['a', 'b', 'ab', '<s>', '<tool> x', '[PAD5]'] },
      'tokenizer.ggml.token_type': { type: 'array', items: 'int32', value: Int32Array.of(1, 1, 1, 3, 4, 5) },
      'tokenizer.ggml.merges': { type: 'array', items: 'string', value: ['a b'] },
    })
  })

  it.each(['<|x|>', '<｜x｜>', '<unused7>', '<pad>', '<mask>'])(
    'takes %s for a control token in any case',
    (content) => {
      const types = keys({ model, pre_tokenizer: BYTE_LEVEL, added_tokens: [added(3, content, false)] })
      expect(types['tokenizer.ggml.token_type']?.value).toEqual(Int32Array.of(1, 1, 1, 3, 5, 5))
    },
  )

  it('reads merges of older files, and writes spaces inside a merge as the reference does', () => {
    const read = (merges: unknown) =>
      keys({ model: { ...model, merges }, pre_tokenizer: BYTE_LEVEL })['tokenizer.ggml.merges']?.value
    expect(read(['a b'])).toEqual(['a b'])
    expect(read([['a ', 'b']])).toEqual(['aĠ b'])
  })

  it('needs no type where there are merges', () => {
    const { type: _, ...untyped } = model
    expect(keys({ model: untyped, pre_tokenizer: BYTE_LEVEL })['tokenizer.ggml.model']?.value).toBe('gpt2')
  })
})

describe('other BPE', () => {
  it('becomes t5 with equal scores and no tokens added', () => {
    const model = { type: 'BPE', unk_token: '[UNK]', vocab: { '[UNK]': 0, '▁a': 1, '▁': 2, a: 3 }, merges: ['▁ a'] }
    const result = keys({ model, pre_tokenizer: METASPACE, added_tokens: [added(0, '[UNK]'), added(4, '[EOS]')] })
    expect(result).toMatchObject({
      'tokenizer.ggml.model': { value: 't5' },
      'tokenizer.ggml.token_type': { value: Int32Array.of(2, 1, 1, 1, 3, 5) },
      'tokenizer.ggml.scores': { value: Float32Array.of(-1, -1, -1, -1, -10_000, -10_000) },
      'tokenizer.ggml.add_space_prefix': { type: 'bool', value: true },
      'tokenizer.ggml.remove_extra_whitespaces': { type: 'bool', value: false },
      'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
      'tokenizer.ggml.add_eos_token': { type: 'bool', value: false },
    })
    expect(result['tokenizer.ggml.merges']).toBeUndefined()
  })
})

describe('Unigram', () => {
  const vocab = [
    ['<pad>', 0],
    ['<unk>', 0],
    ['▁a', -1.5],
  ]

  it('keeps its scores, its normalisation table and its treatment of spaces', () => {
    const normalizers = [
      { type: 'Precompiled', precompiled_charsmap: Buffer.from([1, 2, 3]).toString('base64') },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
    ]
    const tokenizer = {
      model: { type: 'Unigram', unk_id: 1, vocab },
      normalizer: { type: 'Sequence', normalizers },
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ ...METASPACE, prepend_scheme: 'never' }] },
      added_tokens: [added(0, '<pad>')],
    }
    expect(keys(tokenizer, 4)).toMatchObject({
      'tokenizer.ggml.model': { value: 't5' },
      'tokenizer.ggml.tokens': { value: ['<pad>', '<unk>', '▁a', '[PAD3]'] },
      'tokenizer.ggml.token_type': { value: Int32Array.of(3, 2, 1, 5) },
      'tokenizer.ggml.scores': { value: Float32Array.of(0, 0, -1.5, -10_000) },
      'tokenizer.ggml.precompiled_charsmap': { type: 'array', items: 'uint8', value: Uint8Array.of(1, 2, 3) },
      'tokenizer.ggml.add_space_prefix': { value: false },
      'tokenizer.ggml.remove_extra_whitespaces': { value: true },
    })
  })

  it('without unk_id has no unknown token', () => {
    expect(keys({ model: { type: 'Unigram', vocab } }, 3)['tokenizer.ggml.token_type']?.value).toEqual(
      Int32Array.of(1, 1, 1),
    )
  })
})

describe('a bad tokenizer', () => {
  const bpe = (vocab: unknown, merges: unknown = []) => ({
    model: { type: 'BPE', vocab, merges },
    pre_tokenizer: BYTE_LEVEL,
  })
  const cases: [string, object, string][] = [
    ['of another kind', { model: { type: 'WordPiece', vocab: {} } }, 'unsupported-model'],
    ['without model', {}, 'unsupported-model'],
    ['whose model is no object', { model: 7 }, 'invalid-file'],
    ['without vocabulary', bpe(undefined), 'invalid-file'],
    ['with ids that are no numbers', bpe({ a: 'x' }), 'invalid-file'],
    ['with an id above the model', bpe({ a: 6 }), 'invalid-file'],
    ['with a negative id', bpe({ a: -1 }), 'invalid-file'],
    ['with a fractional id', bpe({ a: 0.5 }), 'invalid-file'],
    ['with an id twice', bpe({ a: 0, b: 0 }), 'invalid-file'],
    ['with a token twice', { ...bpe({ a: 0 }), added_tokens: [added(1, 'a')] }, 'invalid-file'],
    ['with a token named as a filler', bpe({ '[PAD5]': 0 }), 'invalid-file'],
    ['with added tokens that are no list', { ...bpe({ a: 0 }), added_tokens: {} }, 'invalid-file'],
    ['with an added token without id', { ...bpe({ a: 0 }), added_tokens: [{ content: 'x' }] }, 'invalid-file'],
    ['with an added token above the model', { ...bpe({ a: 0 }), added_tokens: [added(99, 'x')] }, 'invalid-file'],
    ['with merges that are no list', bpe({ a: 0 }, 'a b'), 'invalid-file'],
    ['with a merge of three', bpe({ a: 0 }, ['a b c']), 'invalid-file'],
    ['with a merge of numbers', bpe({ a: 0 }, [[1, 2]]), 'invalid-file'],
    ['whose Unigram pieces have no scores', { model: { type: 'Unigram', vocab: [['a']] } }, 'invalid-file'],
  ]
  it.each(cases)('%s is refused', (_, tokenizer, code) => {
    expect(() => keys(tokenizer)).toThrow(expect.objectContaining({ name: 'TandemError', code }))
  })
})
