import { describe, expect, it } from 'vitest'
import { byteLevel, metaspace } from '../../test/tokenizer/small-tokenizers.ts'
import { stopStringMatcher } from './stop-strings.ts'
import { Tokenizer } from './tokenizer.ts'

describe('a stop string', () => {
  const bytes = new Tokenizer(byteLevel)
  const ids = (text: string) => [...Buffer.from(text)]

  it('stops where its last byte comes, and nowhere else', async () => {
    const completes = await stopStringMatcher(bytes, ['。', 'END'])
    const text = ids('你好。END of')
    const stops = text.map((_, i) => completes(text.slice(0, i + 1)))
    expect(stops.flatMap((stop, i) => (stop ? [i] : []))).toEqual([8, 11])
  })

  it('is found across a prompt and a text, and not across an id without text', async () => {
    const completes = await stopStringMatcher(bytes, ['abc'])
    expect(completes(ids('abc'))).toBe(true)
    expect(completes([...ids('ab'), 100_000, ...ids('c')])).toBe(false)
    expect(completes([...ids('abc'), 100_000])).toBe(false)
    expect(completes([])).toBe(false)
  })

  it('may end inside the newest token, which is not cut', async () => {
    const words = new Tokenizer(metaspace)
    const { inputIds, tokens } = await words.encode('hello world')
    const last = tokens.at(-1)?.replace('▁', ' ') ?? ''
    expect(last.length).toBeGreaterThan(1)
    const completes = await stopStringMatcher(words, [last.slice(0, -1)])
    expect(completes(inputIds)).toBe(true)
    expect(completes(inputIds.slice(0, -1))).toBe(false)
  })

  it('meets special tokens by their names', async () => {
    const special = [...Array(bytes.vocabularySize).keys()].find((id) => bytes.tokens([id])[0]?.startsWith('<'))
    const name = bytes.tokens([special ?? 0])[0] ?? ''
    const completes = await stopStringMatcher(bytes, [name])
    expect(completes([...ids('a'), special ?? 0])).toBe(true)
  })
})
