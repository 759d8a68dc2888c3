import { describe, expect, it } from 'vitest'
import {
  bare,
  byteFallback,
  byteLevel,
  metaspace,
  spaceRules,
  wordPiece,
} from '../../test/tokenizer/small-tokenizers.ts'
import { Tokenizer } from './tokenizer.ts'

const HALF = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/

/** A reproducible stream of numbers in [0, 1). */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

function pieces(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = true): string[] {
  const stream = tokenizer.decodeStream({ skipSpecialTokens })
  return [...ids.map((id) => stream.push(id)), stream.finish()]
}

describe('a stream', () => {
  const kinds = Object.entries({ byteLevel, byteFallback, metaspace, spaceRules, wordPiece, bare })
  it.each(kinds)('of %s ids joins to what decode says, and holds no half characters', (_, json) => {
    const tokenizer = new Tokenizer(json)
    const random = numbers(7)
    for (let round = 0; round < 300; round++) {
      const length = Math.floor(random.next().value * 40)
      const ids = Array.from({ length }, () => Math.floor(random.next().value * (tokenizer.vocabularySize + 2)))
      for (const skipSpecialTokens of [true, false]) {
        const parts = pieces(tokenizer, ids, skipSpecialTokens)
        expect({ ids, text: parts.join('') }).toEqual({ ids, text: tokenizer.decode(ids, { skipSpecialTokens }) })
        expect(parts.filter((part) => HALF.test(part))).toEqual([])
      }
    }
  })

  it('emits each character with its last byte', async () => {
    const tokenizer = new Tokenizer(byteLevel)
    const { inputIds } = await tokenizer.encode('a你👍🏽')
    expect(pieces(tokenizer, inputIds)).toEqual(['a', '', '', '你', '', '', '', '👍', '', '', '', '🏽', ''])
  })

  it('keeps a run of byte tokens until it ends, since one more byte can spoil it', () => {
    const tokenizer = new Tokenizer(byteFallback)
    const id = (token: string) => tokenizer.tokenId(token) ?? -1
    const you = ['<0xE4>', '<0xBD>', '<0xA0>'].map(id)
    expect(pieces(tokenizer, [...you, id('b')])).toEqual(['', '', '', '你b', ''])
    expect(pieces(tokenizer, [...you, id('<0xE4>'), id('b')]).join('')).toBe('\uFFFD\uFFFD\uFFFD\uFFFDb')
  })

  it('gives the rest at the end, once', () => {
    const stream = new Tokenizer(byteLevel).decodeStream()
    expect([stream.push(0xe4), stream.push(0xbd), stream.finish(), stream.finish()]).toEqual(['', '', '\uFFFD', ''])
    expect(stream.push(0x61)).toBe('a')
  })

  it('drops the space of the first token only', () => {
    const tokenizer = new Tokenizer(metaspace)
    const ids = ['▁a', 'b', '<eos>', '▁你', '好', '▁', '▁a'].map((token) => tokenizer.tokenId(token) ?? -1)
    expect(pieces(tokenizer, ids).join('')).toBe('ab 你好  a')
  })
})
