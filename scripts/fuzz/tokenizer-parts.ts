import type { Random } from './random.ts'

/* Parts of a tokenizer.json: every kind that the library knows, with values that are mostly sensible. */

const PATTERNS = [
  { String: ' ' },
  { String: '' },
  { String: '▁' },
  { Regex: ' {2,}' },
  { Regex: '\\s+' },
  { Regex: '\\p{L}+|\\p{N}' },
  { Regex: '(?<=[0-9]) +(?=[0-9])' },
  { Regex: '(?i:a|b)*$' },
  { Regex: '(a?){3}' },
  { Regex: '[^\\s]+|' },
] as const
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
const SCHEMES = ['always', 'never', 'first'] as const
const SPECIAL = ['<s>', '</s>', '<unk>', '<pad>', ' x'] as const

const flag = (random: Random): boolean => random.chance(0.5)
const small = (random: Random): number => random.below(4)

/** A base64 table of SentencePiece: mostly noise, since its reader looks into it only when it meets text. */
function charsmap(random: Random): string {
  const words = Uint32Array.from({ length: 1 + random.below(300) }, () =>
    random.chance(0.5) ? random.below(2 ** 32) : random.below(1024),
  )
  const size = Uint32Array.of(random.chance(0.9) ? words.byteLength : random.below(2 ** 16))
  return Buffer.concat([Buffer.from(size.buffer), Buffer.from(words.buffer), Buffer.from('a\0中文\0')]).toString(
    'base64',
  )
}

export function normalizer(random: Random, depth = 0): unknown {
  const inner = (): unknown[] => Array.from({ length: random.below(4) }, () => normalizer(random, depth + 1))
  return random.pick([
    () => null,
    () => ({ type: random.pick(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'Nmt', 'ByteLevel']) }),
    () => ({ type: 'Strip', strip_left: flag(random), strip_right: flag(random) }),
    () => ({ type: 'Prepend', prepend: random.pick(['▁', '', 'ab']) }),
    () => ({ type: 'Replace', pattern: random.pick(PATTERNS), content: random.pick(['', '▁', 'ab', ' ']) }),
    () => ({ type: 'Precompiled', precompiled_charsmap: charsmap(random) }),
    () => ({
      type: 'BertNormalizer',
      clean_text: flag(random),
      handle_chinese_chars: flag(random),
      lowercase: flag(random),
    }),
    () => (depth > 2 ? null : { type: 'Sequence', normalizers: inner() }),
  ])()
}

export function preTokenizer(random: Random, depth = 0): unknown {
  const inner = (): unknown[] => Array.from({ length: random.below(4) }, () => preTokenizer(random, depth + 1))
  return random.pick([
    () => null,
    () => ({ type: random.pick(['Whitespace', 'WhitespaceSplit', 'BertPreTokenizer', 'UnicodeScripts']) }),
    () => ({ type: 'ByteLevel', add_prefix_space: flag(random), trim_offsets: flag(random), use_regex: flag(random) }),
    () => ({
      type: 'Metaspace',
      replacement: random.pick(['▁', ' ', '👍']),
      prepend_scheme: random.pick(SCHEMES),
      split: flag(random),
    }),
    () => ({ type: 'Split', pattern: random.pick(PATTERNS), behavior: random.pick(BEHAVIORS), invert: flag(random) }),
    () => ({ type: 'Punctuation', behavior: random.pick(BEHAVIORS) }),
    () => ({ type: 'Digits', individual_digits: flag(random) }),
    () => ({ type: 'CharDelimiterSplit', delimiter: random.pick(['a', ' ', '中']) }),
    () => ({ type: 'FixedLength', length: small(random) }),
    () => (depth > 2 ? null : { type: 'Sequence', pretokenizers: inner() }),
  ])()
}

export function decoder(random: Random, depth = 0): unknown {
  const inner = (): unknown[] => Array.from({ length: random.below(5) }, () => decoder(random, depth + 1))
  return random.pick([
    () => null,
    () => ({ type: random.pick(['Fuse', 'ByteFallback', 'ByteLevel']) }),
    () => ({ type: 'Metaspace', replacement: '▁', prepend_scheme: random.pick(SCHEMES), split: flag(random) }),
    () => ({ type: 'WordPiece', prefix: random.pick(['##', '', 'a']), cleanup: flag(random) }),
    () => ({ type: 'BPEDecoder', suffix: random.pick(['</w>', '', ' ']) }),
    () => ({ type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: flag(random) }),
    () => ({ type: 'Strip', content: random.pick([' ', 'a', '▁']), start: small(random), stop: small(random) }),
    () => ({ type: 'Replace', pattern: random.pick(PATTERNS), content: random.pick(['', ' ', 'ab']) }),
    () => (depth > 2 ? null : { type: 'Sequence', decoders: inner() }),
  ])()
}

export function postProcessor(random: Random, depth = 0): unknown {
  const inner = (): unknown[] => Array.from({ length: random.below(4) }, () => postProcessor(random, depth + 1))
  const piece = (): unknown =>
    flag(random)
      ? { Sequence: { id: random.pick(['A', 'B']), type_id: small(random) } }
      : { SpecialToken: { id: random.pick(SPECIAL), type_id: small(random) } }
  const pieces = (): unknown[] => Array.from({ length: random.below(5) }, piece)
  const special = (): unknown =>
    Object.fromEntries(
      SPECIAL.filter(() => random.chance(0.8)).map((id) => [
        id,
        { id, ids: Array.from({ length: small(random) }, () => small(random)), tokens: [id] },
      ]),
    )
  return random.pick([
    () => null,
    () => ({ type: 'ByteLevel', add_prefix_space: flag(random), trim_offsets: flag(random), use_regex: flag(random) }),
    () => ({ type: 'BertProcessing', sep: ['</s>', small(random)], cls: ['<s>', small(random)] }),
    () => ({
      type: 'RobertaProcessing',
      sep: ['</s>', small(random)],
      cls: ['<s>', small(random)],
      trim_offsets: flag(random),
      add_prefix_space: flag(random),
    }),
    () => ({ type: 'TemplateProcessing', single: pieces(), pair: pieces(), special_tokens: special() }),
    () => (depth > 2 ? null : { type: 'Sequence', processors: inner() }),
  ])()
}

const PIECES = [
  '<unk>',
  '<s>',
  '</s>',
  'a',
  'b',
  'ab',
  '▁',
  '▁a',
  ' ',
  '',
  '##a',
  '中',
  '👍',
  'Ġ',
  'é',
  '<0x41>',
  '<0xE4>',
] as const

export function model(random: Random): unknown {
  const pieces = PIECES.filter(() => random.chance(0.8))
  const vocab = Object.fromEntries(pieces.map((text, id) => [text, id]))
  const unknown = random.pick(['<unk>', '', 'missing'])
  const merge = (): string[] => [random.pick(PIECES), random.pick(PIECES)]
  return random.pick([
    () => ({
      type: 'BPE',
      dropout: random.pick([null, null, 0.5, 1]),
      unk_token: random.pick([null, unknown]),
      continuing_subword_prefix: random.pick([null, null, '##']),
      end_of_word_suffix: random.pick([null, null, '</w>']),
      fuse_unk: flag(random),
      byte_fallback: flag(random),
      ignore_merges: flag(random),
      vocab,
      merges: Array.from({ length: random.below(3) }, merge),
    }),
    () => ({
      type: 'Unigram',
      unk_id: random.pick([null, 0, 1, 40]),
      vocab: pieces.map((text) => [text, random.pick([0, -1, -10, -1e308, 1e308])]),
      byte_fallback: flag(random),
    }),
    () => ({
      type: 'WordPiece',
      unk_token: unknown,
      continuing_subword_prefix: random.pick(['##', '']),
      max_input_chars_per_word: random.pick([100, 0, 3, 2 ** 40]),
      vocab,
    }),
    () => ({ type: 'WordLevel', unk_token: unknown, vocab }),
  ])()
}

export function addedTokens(random: Random): unknown {
  const texts = [...SPECIAL, 'a', ' ', 'A', '中', 'b ', '▁a', '👍']
  return texts
    .filter(() => random.chance(0.3))
    .map((content, i) => ({
      id: random.chance(0.8) ? 17 + i : random.below(40),
      content,
      single_word: flag(random),
      lstrip: flag(random),
      rstrip: flag(random),
      normalized: flag(random),
      special: flag(random),
    }))
}
