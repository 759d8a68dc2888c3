import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import {
  bare,
  byteFallback,
  byteLevel,
  metaspace,
  spaceRules,
  wordPiece,
} from '../../test/tokenizer/small-tokenizers.ts'
import { damagedText, mutateJson } from './json-mutation.ts'
import type { Random } from './random.ts'
import { type FuzzTarget, type Outcome, outcomeOf } from './target.ts'
import { addedTokens, decoder, model, normalizer, postProcessor, preTokenizer } from './tokenizer-parts.ts'

const SEEDS = [byteLevel, byteFallback, metaspace, spaceRules, wordPiece, bare].map(
  (text) => JSON.parse(text) as object,
)
const TEXT = [
  ...[
    'a',
    'b',
    'ab',
    ' ',
    '   ',
    '\n',
    '\r\n',
    '\t',
    '1',
    '12',
    '中',
    '你好',
    'é',
    'e\u0301',
    'ﷺ',
    'ﬁ',
    '👍🏽',
    '👨‍👩‍👧',
  ],
  ...[
    '\0',
    '\uFEFF',
    '\uD800',
    '\uDC00',
    '\u00A0',
    '\u2028',
    '▁',
    '<s>',
    '</s>',
    ' x',
    '<unk>',
    '.',
    "'s",
    'İ',
    'ß',
    '한',
    '\u{10FFFF}',
  ],
] as const

/** tokenizer.json and tokenizer_config.json: whole files of known parts, a few of their places changed. */
export function tokenizerTarget(): FuzzTarget {
  return { run }
}

async function run(random: Random): Promise<Outcome> {
  const file = random.chance(0.3) ? SEEDS[random.below(SEEDS.length)] : assembled(random)
  const document = random.chance(0.5) ? mutateJson(file, random) : file
  const text = damagedText(document, random)
  const config = random.chance(0.3) ? damagedText(mutateJson(tokenizerConfig(random), random), random) : undefined
  let tokenizer: Tokenizer | undefined
  const outcome = await outcomeOf(() => {
    tokenizer = new Tokenizer(text, config)
  })
  if (tokenizer === undefined) return outcome
  return use(tokenizer, random)
}

function assembled(random: Random): object {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(random),
    normalizer: normalizer(random),
    pre_tokenizer: preTokenizer(random),
    post_processor: postProcessor(random),
    decoder: decoder(random),
    model: model(random),
  }
}

function tokenizerConfig(random: Random): object {
  return {
    bos_token: '<s>',
    eos_token: { content: '</s>' },
    unk_token: '<unk>',
    pad_token: random.pick(['<pad>', '', null]),
    add_bos_token: random.chance(0.5),
    add_eos_token: random.chance(0.5),
    additional_special_tokens: ['<x>', { content: '<y>' }],
    added_tokens_decoder: {
      '3': { content: '<z>', special: true },
      '99': { content: ' q', normalized: true, lstrip: true },
    },
    truncation_side: random.pick(['left', 'right']),
  }
}

/** Encodes and decodes whatever an accepted file lets through. */
async function use(tokenizer: Tokenizer, random: Random): Promise<Outcome> {
  for (let round = 0; round < 4; round++) {
    const text = Array.from({ length: random.below(12) }, () => random.pick(TEXT)).join('')
    const options = {
      addSpecialTokens: random.chance(0.5),
      ...(random.chance(0.3) ? { maxLength: 1 + random.below(6) } : {}),
    }
    const encoded = await outcomeOf(() => tokenizer.encode(text, options))
    if (encoded !== 'accepted') return encoded
    const hidden = tokenizer.replaceSpecialPieces(text, (piece) => `[${piece.length}]`)
    const parts = await outcomeOf(() => tokenizer.encodeParts(tokenizer.splitAtSpecialTokens(`<s>${hidden}`)))
    if (parts !== 'accepted') return parts
    const ids = Array.from({ length: random.below(10) }, () => random.below(30))
    const decoded = await outcomeOf(() => {
      const skipSpecialTokens = random.chance(0.5)
      const whole = tokenizer.decode(ids, { skipSpecialTokens })
      const stream = tokenizer.decodeStream({ skipSpecialTokens })
      const pieces = ids.map((id) => stream.push(id))
      requireSame(whole, [...pieces, stream.finish()].join(''))
    })
    if (decoded !== 'accepted') return decoded
  }
  return 'accepted'
}

/** Pieces may differ from the whole where a decoder looks far back; they must be text all the same. */
function requireSame(whole: string, joined: string): void {
  if (typeof whole !== 'string' || typeof joined !== 'string') throw new Error('Decoding gave no text')
}
