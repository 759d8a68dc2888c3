import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readTokenizer } from '../../src/runtime/converted-model.ts'
import type { TextTokenizer } from '../../src/tokenizer/text-tokenizer.ts'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { byteLevel, metaspace } from './small-tokenizers.ts'

// What every tokenizer promises, whatever file it came from.

const config = JSON.stringify({ eos_token: '<eos>', pad_token: '<pad>' })
const ofLlamaCpp = (name: string) => {
  const path = fileURLToPath(new URL(`../golden/foreign/tiny-${name}.gguf`, import.meta.url))
  return readTokenizer({ kind: 'gguf', path, name })
}

const TOKENIZERS: [string, () => Promise<TextTokenizer>][] = [
  ['byte-level, of Hugging Face', async () => new Tokenizer(byteLevel, config)],
  ['Metaspace, of Hugging Face', async () => new Tokenizer(metaspace, config)],
  ...['llama', 'qwen3', 'gemma3', 'phi-3', 'gpt2'].map((name): [string, () => Promise<TextTokenizer>] => [
    `${name}, of llama.cpp`,
    () => ofLlamaCpp(name),
  ]),
]

const coded = (code: string) => expect.objectContaining({ name: 'TandemError', code }) as Error

describe.each(TOKENIZERS)('%s', (_, open) => {
  it('tells the spelling of every id that it encodes to, and finds the id by it', async () => {
    await using tokenizer = await open()
    const { inputIds, attentionMask, tokens } = await tokenizer.encode('ab b')
    expect(attentionMask).toEqual(inputIds.map(() => 1))
    expect(tokens).toEqual(tokenizer.tokens(inputIds))
    expect(tokens.map((token) => tokenizer.tokenId(token))).toEqual(inputIds)
    expect(tokenizer.tokenId('no such token')).toBeUndefined()
    expect(tokenizer.specialTokenId('cls')).toBeUndefined()
  })

  it('appends the end token and cuts at maxLength, around which it keeps its special tokens', async () => {
    await using tokenizer = await open()
    const eos = tokenizer.specialTokenId('eos')
    expect(tokenizer.tokenId(tokenizer.specialTokens.eos ?? '')).toBe(eos)
    const whole = (await tokenizer.encode('ab b', { appendEos: true })).inputIds
    expect(whole.at(-1)).toBe(eos)
    expect(whole.slice(0, -1)).toEqual((await tokenizer.encode('ab b')).inputIds)
    const cut = (await tokenizer.encode('ab b'.repeat(20), { appendEos: true, maxLength: 5 })).inputIds
    expect(cut).toHaveLength(5)
    expect(cut.at(-1)).toBe(eos)
    for (const maxLength of [0, -1, 1.5, Number.NaN]) {
      await expect(tokenizer.encode('a', { maxLength })).rejects.toEqual(coded('invalid-argument'))
    }
  })

  it('fills a batch on either side where it has a token for that', async () => {
    await using tokenizer = await open()
    const texts = ['a', 'ab b b b']
    const pad = tokenizer.specialTokenId('pad')
    if (pad === undefined) {
      await expect(tokenizer.encodeBatch(texts)).rejects.toEqual(coded('unsupported-model'))
      return
    }
    const [alone] = await Promise.all(texts.map((text) => tokenizer.encode(text)))
    const [right, longest] = await tokenizer.encodeBatch(texts)
    const [left] = await tokenizer.encodeBatch(texts, { paddingSide: 'left' })
    const fill = (longest?.inputIds ?? []).slice(alone?.inputIds.length).map(() => pad)
    expect(fill.length).toBeGreaterThan(0)
    expect(right?.inputIds).toEqual([...(alone?.inputIds ?? []), ...fill])
    expect(left?.inputIds).toEqual([...fill, ...(alone?.inputIds ?? [])])
    expect(left?.attentionMask).toEqual([...fill.map(() => 0), ...(alone?.attentionMask ?? [])])
  })

  it('gives ids beyond its vocabulary no text, and refuses what is no id and no text', async () => {
    await using tokenizer = await open()
    const { inputIds } = await tokenizer.encode('ab', { addSpecialTokens: false })
    const beyond = [tokenizer.vocabularySize, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]
    expect(tokenizer.decode([...inputIds, ...beyond])).toBe(tokenizer.decode(inputIds))
    expect(tokenizer.tokens(beyond)).toEqual(beyond.map(() => undefined))
    expect(tokenizer.decode([])).toBe('')
    for (const wrong of [-1, 1.5, Number.NaN, '1']) {
      expect(() => tokenizer.decode([wrong as number])).toThrow(coded('invalid-argument'))
      expect(() => tokenizer.tokens([wrong as number])).toThrow(coded('invalid-argument'))
    }
    for (const wrong of [undefined, null, 5, ['a']]) {
      await expect(tokenizer.encode(wrong as unknown as string)).rejects.toEqual(coded('invalid-argument'))
    }
  })

  it('reads its special tokens in a text, but not in a part of a prompt', async () => {
    await using tokenizer = await open()
    const token = tokenizer.specialTokens.eos ?? ''
    const eos = tokenizer.specialTokenId('eos')
    expect((await tokenizer.encode(`b${token}b`)).inputIds).toContain(eos)
    const plain = await tokenizer.encodeParts([`b${token}b`])
    expect(plain.inputIds).not.toContain(eos)
    expect(tokenizer.splitAtSpecialTokens(`b${token}b`)).toEqual(['b', { specialToken: token }, 'b'])
    const parts = await tokenizer.encodeParts(['b', { specialToken: token }])
    expect(parts.inputIds.at(-1)).toBe(eos)
    expect(parts.attentionMask).toEqual(parts.inputIds.map(() => 1))
    expect(tokenizer.replaceSpecialPieces(`b ${token} b`, () => '?')).toBe('b ? b')
  })

  it('answers calls that overlap, and may be disposed of twice', async () => {
    const tokenizer = await open()
    const texts = Array.from({ length: 40 }, (_, i) => 'ab '.repeat(i % 7))
    const together = await Promise.all(texts.map((text) => tokenizer.encode(text)))
    for (const [i, row] of together.entries()) expect(row).toEqual(await tokenizer.encode(texts[i] ?? ''))
    await Promise.all([tokenizer.dispose(), tokenizer.dispose()])
    await tokenizer.dispose()
  })
})
