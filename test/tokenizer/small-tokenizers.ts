/** Tokenizers small enough to write down, one for each way of decoding. */

const SPECIAL = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }

interface Parts {
  vocabulary: readonly string[]
  decoder: object | null
  preTokenizer?: object
  postProcessor?: object
  /** Ids of the vocabulary that are special. */
  special?: readonly number[]
}

/** A `tokenizer.json` whose token i is the i-th of the vocabulary, with no merges. */
export function tokenizerJson({ vocabulary, decoder, preTokenizer, postProcessor, special = [] }: Parts): string {
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map((id) => ({ id, content: vocabulary[id], ...SPECIAL })),
    normalizer: null,
    pre_tokenizer: preTokenizer ?? null,
    post_processor: postProcessor ?? null,
    decoder,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: [],
    },
  })
}

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }

/** GPT-2's spelling of bytes: printable ones as they are, the others from U+0100 on. */
function byteAlphabet(): string[] {
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++))
}

/** Ids 0 to 255 are bytes, 256 is the unknown token, 257 ends a text, 258 fills. */
export const byteLevel = tokenizerJson({
  vocabulary: [...byteAlphabet(), '<unk>', '<eos>', '<pad>'],
  preTokenizer: BYTE_LEVEL,
  decoder: BYTE_LEVEL,
  special: [256, 257, 258],
})

/** Llama's kind: words with ▁, and bytes of characters that no token has. */
export const byteFallback = tokenizerJson({
  vocabulary: [
    '<unk>',
    '<eos>',
    ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    ...['▁', '▁a', 'b', '▁你', '好', '\uFFFD'],
  ],
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
  special: [0, 1],
})

/** T5's kind. */
export const metaspace = tokenizerJson({
  vocabulary: ['<pad>', '<eos>', '<unk>', '▁', '▁a', 'b', '▁你', '好', ' ', '▁▁'],
  preTokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  postProcessor: {
    type: 'TemplateProcessing',
    single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '<eos>', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { '<eos>': { id: '<eos>', ids: [1], tokens: ['<eos>'] } },
  },
  special: [0, 1, 2],
})

/** As `metaspace`, with rules that remove spaces before punctuation, between ideographs and within times. */
export const spaceRules = tokenizerJson({
  vocabulary: ['<pad>', '<eos>', '<unk>', '▁', '▁a', 'b', '▁你', '好', ',', '▁,', '1', '▁1', ':', '▁:', '▁▁', '▁。'],
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      { type: 'Fuse' },
      { type: 'Replace', pattern: { Regex: ' +(?=[\u4e00-\u9fff。])' }, content: '' },
      { type: 'Replace', pattern: { Regex: '(?<=[\u4e00-\u9fff。]) +' }, content: '' },
      { type: 'Replace', pattern: { Regex: ' +(?=[,:])' }, content: '' },
      { type: 'Replace', pattern: { Regex: '(?<=[0-9]:) +(?=[0-9])' }, content: '' },
    ],
  },
  special: [0, 1, 2],
})

/** BERT's kind. */
export const wordPiece = tokenizerJson({
  vocabulary: ['<unk>', 'a', '##b', '.', '你', "'", 's', "do n't"],
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
})

/** No decoder at all: tokens with spaces between them. */
export const bare = tokenizerJson({ vocabulary: ['<unk>', 'a', 'b', '你好'], decoder: null })
