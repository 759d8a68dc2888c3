import { describe, expect, it } from 'vitest'
import { byteLevel, tokenizerJson } from '../../test/tokenizer/small-tokenizers.ts'
import { Tokenizer } from './tokenizer.ts'

// Every one of these files ended the process when it reached the library, at once or with the text beside it.

type Parts = Record<string, unknown>

const VOCABULARY = ['<unk>', 'a', 'b', 'ab', ' ', '']
const plain = JSON.parse(tokenizerJson({ vocabulary: VOCABULARY, decoder: null })) as Parts

function tokenizer(parts: Parts): Tokenizer {
  return new Tokenizer(JSON.stringify({ ...plain, ...parts }))
}

function model(fields: Parts): Parts {
  return { model: { ...(plain['model'] as Parts), ...fields } }
}

function added(...tokens: Parts[]): Parts {
  const usual = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }
  return { added_tokens: tokens.map((token, i) => ({ id: VOCABULARY.length + i, ...usual, ...token })) }
}

function template(single: unknown[], special_tokens: Parts = {}): Parts {
  return { type: 'TemplateProcessing', single, pair: [], special_tokens }
}

function bytes(...words: number[]): Buffer {
  return Buffer.from(Uint32Array.from(words).buffer)
}

/** A trie of 512 units in which `a` leads to the text at `place`. */
function charsmap(place: number, texts = 'z\0', changes: Record<number, number> = {}): string {
  const units = new Uint32Array(512)
  units[0] = 256 << 10
  units[256 ^ 0x61] = 0x61 | 0x100 | ((256 ^ 0x61 ^ 300) << 10)
  units[300] = 0x80000000 | place
  for (const [at, unit] of Object.entries(changes)) units[Number(at)] = unit
  return Buffer.concat([bytes(units.byteLength), bytes(...units), Buffer.from(texts)]).toString('base64')
}

const precompiled = (table: unknown): Parts => ({
  normalizer: { type: 'Precompiled', ...(table === undefined ? {} : { precompiled_charsmap: table }) },
})
const split = (Regex: string): Parts => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })
const A = { Sequence: { id: 'A', type_id: 0 } }
const PREPEND_NOTHING = { type: 'Prepend', prepend: '' }

describe('a tokenizer.json that would end the process is refused', () => {
  const cases: [string, Parts, RegExp][] = [
    ['merge of an absent first half', model({ merges: ['x b'] }), /absent: expected "xb" in its vocab/],
    ['merge of an absent second half', model({ merges: [['a', 'x']] }), /absent.*"ax"/],
    ['merge into an absent token', model({ merges: ['b a'] }), /absent.*"ba"/],
    [
      'merge into a token longer than all',
      model({ vocab: { a: 0, b: 1 }, merges: ['a b'], unk_token: null }),
      /absent.*"ab"/,
    ],
    [
      'merge of absent tokens, where there are longer ones',
      model({ vocab: { [`<unk>${'x'.repeat(50)}`]: 0, a: 1 }, merges: ['a q'], unk_token: null }),
      /cannot be read.*out of vocabulary/,
    ],
    ['merge without its prefix', model({ merges: ['a b'], continuing_subword_prefix: '##' }), /prefix.*"##"/],
    ['merge of a name of Object.prototype', model({ merges: ['construct or'] }), /absent.*"constructor"/],
    ['words of any length', model({ max_input_chars_per_word: 2 ** 40 }), /max_input_chars_per_word.*1000/],
    ['no charsmap', precompiled(undefined), /precompiled_charsmap/],
    ['a charsmap that is no base64', precompiled('!!!'), /base64/],
    ['a charsmap that is cut off', precompiled(bytes(4096, 1).toString('base64')), /size of its trie.*4096 of 8/],
    ['an empty charsmap', precompiled(''), /size of its trie/],
    ['a charsmap without trie', precompiled(bytes(0).toString('base64')), /size of its trie/],
    ['a charsmap of other bytes', precompiled(charsmap(0, '\xff').replace(/.{8}$/, 'w/8A////')), /UTF-8/],
    ['a charsmap that leads outside', precompiled(charsmap(0, 'z\0', { 0: 4000 << 10 })), /trie of more than/],
    ['a charsmap that goes on outside', precompiled(charsmap(0, 'z\0', { 353: 0x61 | (9000 << 10) })), /trie of more/],
    ['a charsmap without its leaf', precompiled(charsmap(0, 'z\0', { 353: 0x361 | (9000 << 10) })), /places below/],
    ['a charsmap with a text beyond its end', precompiled(charsmap(99)), /places below 2.*99/],
    ['a charsmap with half a character', precompiled(charsmap(1, '中\0')), /places below/],
    [
      'a charsmap under another name',
      { normalizer: { type: 'Sequence', normalizers: [precompiled('AAAA')] } },
      /charsmap/,
    ],
    ['Prepend of nothing', { normalizer: PREPEND_NOTHING }, /Prepend of nothing/],
    ['Prepend of nothing, deeper', { normalizer: { type: 'Sequence', normalizers: [PREPEND_NOTHING] } }, /Prepend/],
    [
      'Replace of nothing',
      { normalizer: { type: 'Replace', pattern: { String: '' }, content: 'x' } },
      /Replace that matches nothing/,
    ],
    [
      'Replace of nothing, as a pattern',
      { normalizer: { type: 'Replace', pattern: { Regex: 'a*' }, content: 'x' } },
      /Replace that matches nothing/,
    ],
    ['FixedLength of 0', { pre_tokenizer: { type: 'FixedLength', length: 0 } }, /FixedLength of 0/],
    ['Strip at the end', { decoder: { type: 'Strip', content: ' ', start: 0, stop: 1 } }, /Strip.*stop: 1/],
    ['Strip at the end without its type', { decoder: { content: ' ', start: 0, stop: 1 } }, /Strip.*stop: 1/],
    ['a template of two texts for one', { post_processor: template([{ Sequence: { id: 'B', type_id: 0 } }]) }, /\$B/],
    [
      'a template with an unknown token',
      { post_processor: template([A, { SpecialToken: { id: '<eos>', type_id: 0 } }], { '<s>': {} }) },
      /unknown special token: expected one of <s>, received "<eos>"/,
    ],
    [
      'several templates',
      { post_processor: { type: 'Sequence', processors: [template([A, A, A]), template([A])] } },
      /several templates/,
    ],
    ['a pattern with many ways', { pre_tokenizer: split('(a+)+$') }, /exponential.*\(a\+\)\+\$/],
    [
      'a pattern with many ways, deeper',
      { decoder: { type: 'Sequence', decoders: [split('a*a*a*$')] } },
      /exponential/,
    ],
    [
      'replacements that blow a text up',
      { normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'x'.repeat(1000) } },
      /at most 64 times its length, received 1000 times/,
    ],
    [
      'an added token without end',
      added({ content: 'x'.repeat(1_025) }),
      /too long: expected at most 1024 characters, received 1025/,
    ],
    [
      'an added token that becomes empty',
      {
        ...added({ content: ' ', normalized: true, single_word: true }),
        normalizer: { type: 'Strip', strip_left: true, strip_right: true },
      },
      /normalizer makes empty.*" "/,
    ],
    [
      'added tokens that take the same spaces',
      added({ content: 'b', rstrip: true }, { content: ' ', lstrip: true }),
      /same spaces.*" " with lstrip beside "b" with rstrip/,
    ],
  ]
  it.each(cases)('%s', (_, parts, message) => {
    let error: unknown
    try {
      tokenizer(parts)
    } catch (reason) {
      error = reason
    }
    expect(error).toMatchObject({ name: 'TandemError', code: 'invalid-file', message: expect.stringMatching(message) })
    expect(new Tokenizer(byteLevel).decode([0x61])).toBe('a')
  })
})

describe('what only looks like it', () => {
  it('a sound charsmap is applied', async () => {
    const { inputIds } = await tokenizer({ ...precompiled(charsmap(0, 'b\0')) }).encode('aa')
    expect(inputIds).toEqual([2, 2])
  })

  it('an object that is there twice counts as it was checked, not as the library would read it', async () => {
    const good = JSON.stringify({ ...plain, pre_tokenizer: null })
    const twice = good.replace(
      '"pre_tokenizer":null',
      '"pre_tokenizer":{"type":"FixedLength","length":0},"pre_tokenizer":null',
    )
    expect(twice).not.toBe(good)
    expect((await new Tokenizer(twice).encode('ab')).tokens).toEqual(['a', 'b'])
  })

  it('halves of a character are none that the library makes of them', () => {
    const [first, second] = ['\ud83d', '\ude00']
    const parts = model({
      vocab: { first: 0, second: 1, '\u{1f600}': 2 },
      merges: [['first', 'second']],
      unk_token: null,
    })
    const text = JSON.stringify({ ...plain, ...parts })
    const halves = text.replaceAll('"first"', `"${first}"`).replaceAll('"second"', `"${second}"`)
    expect(halves).toContain(first)
    expect(() => new Tokenizer(halves)).toThrow(expect.objectContaining({ code: 'invalid-file' }))
  })

  it('nesting of any depth is refused', () => {
    for (const depth of [200, 100_000]) {
      const deep = JSON.stringify({ ...plain, decoder: 0 }).replace(
        '"decoder":0',
        `"decoder":${'['.repeat(depth)}${']'.repeat(depth)}`,
      )
      expect(() => new Tokenizer(deep)).toThrow(expect.objectContaining({ code: 'invalid-file' }))
    }
  })

  it('a text that is longer than any vocabulary is refused', () => {
    expect(() => new Tokenizer(' '.repeat(2 ** 27 + 1))).toThrow(
      expect.objectContaining({ code: 'invalid-file', expected: `at most ${2 ** 27} characters` }),
    )
  })

  it('an end token with a space or a colon cannot be put into a template, and says so', () => {
    for (const eos_token of ['a b', 'a:0', ':', '$A']) {
      const config = JSON.stringify({ eos_token, add_eos_token: true })
      try {
        new Tokenizer(JSON.stringify(plain), config)
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid-file', message: expect.stringContaining('eos_token') })
      }
    }
  })

  it('holes in the ids are ids without a text', async () => {
    const holes = tokenizer(model({ vocab: { '<unk>': 0, a: 7, b: 900_000 } }))
    expect((await holes.encode('ab')).inputIds).toEqual([7, 900_000])
    expect(holes.decode([7, 8, 900_000])).toBe('a b')
  })

  it('decoding has a limit where a pattern looks back over runs', () => {
    const decoder = { type: 'Replace', pattern: { Regex: ' +(?=[,.])' }, content: '' }
    const spaces = tokenizer({ decoder })
    expect(spaces.decode(Array(3000).fill(1))).toHaveLength(3000)
    expect(() => spaces.decode(Array(65_537).fill(1))).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })
})

it('a text is encoded in linear time, whatever it is made of', async () => {
  for (const one of [new Tokenizer(byteLevel), tokenizer({ normalizer: { type: 'NFKC' } })]) {
    for (const character of ['A', ' ', '\n', '\0', '👍', 'ﷺ', '\u0301', '\uD800']) {
      const seconds = async (length: number) => {
        const begin = process.cpuUsage()
        await one.encode(character.repeat(length))
        const { user, system } = process.cpuUsage(begin)
        return (user + system) / 1e6
      }
      await seconds(100)
      const [short, long] = [await seconds(2_600), await seconds(26_000)]
      // Ten times the text; the square would be a hundred times the work.
      expect(long).toBeLessThan(40 * short + 0.2)
    }
  }
})
