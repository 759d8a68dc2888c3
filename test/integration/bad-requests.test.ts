import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GenerateOptions, type GenerationInput, type LanguageModel, load } from '../../src/index.ts'
import { makeSmallModels, type SmallModels } from './small-models.ts'

const CONTEXT = 256
const GREEDY = { doSample: false, maxNewTokens: 3 } as const

let small: SmallModels
let qwen: LanguageModel
let t5: LanguageModel
beforeAll(async () => {
  small = await makeSmallModels()
  const options = { device: 'cpu', threads: 1, contextSize: CONTEXT, cacheDirectory: small.cache, quantization: 'f32' }
  qwen = await load(small.qwen, options)
  t5 = await load(small.t5, options)
})
afterAll(async () => {
  await qwen?.dispose()
  await t5?.dispose()
  await small?.remove()
})

const models = () => [qwen, t5]
const invalid = { name: 'TandemError', code: 'invalid-argument' }

/** The model answers as it did before whatever was asked of it in between. */
async function unharmed(model: LanguageModel, attack: () => Promise<unknown>): Promise<void> {
  const before = await model.generate([11, 12, 13], GREEDY)
  await attack()
  expect((await model.generate([11, 12, 13], GREEDY)).ids).toEqual(before.ids)
}

describe('a text', () => {
  it.each([
    ['NUL', 'a\0b'],
    ['a byte order mark', '\uFEFFabc'],
    ['half a character at its end', 'abc\uD83D'],
    ['half a character at its beginning', '\uDC4Dabc'],
    ['halves in the wrong order', '\uDC4D\uD83D'],
    ['signs that steer a terminal', '\u001b[2J\u0007\u0008'],
    ['combining signs without a letter', '\u0301\u200D\uFE0F'],
    ['the last code point', '\u{10FFFF}\uFFFF'],
    ['right-to-left marks', '\u202Eabc\u2066'],
  ])('with %s is answered, and the answer is whole characters', async (_, text) => {
    for (const model of models()) {
      await unharmed(model, async () => {
        const result = await model.generate(text, GREEDY)
        expect(result.prompt).toBe(text)
        expect(result.text).not.toMatch(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/)
        const pieces: string[] = []
        for await (const piece of model.stream(text, GREEDY)) pieces.push(piece)
        expect(pieces.join('')).toBe(result.text)
      })
    }
  })

  it('with half a character is read as if U+FFFD stood in its place', async () => {
    for (const model of models()) {
      const [half, replacement] = await Promise.all(['a\uD83Db', 'a\uFFFDb'].map((text) => model.encode(text)))
      expect(half?.inputIds).toEqual(replacement?.inputIds)
    }
  })

  it('of nothing is refused, with what to do', async () => {
    for (const input of ['', [], { inputIds: [] }]) {
      await expect(qwen.generate(input, GREEDY)).rejects.toMatchObject({ ...invalid, received: 'an empty prompt' })
      await expect(t5.generate(input, GREEDY)).rejects.toMatchObject({
        ...invalid,
        remedy: expect.stringMatching(/--append-eos/) as string,
      })
    }
  })

  it.each([
    ['a megabyte of one character', 'a'.repeat(1_000_000)],
    ['a megabyte of spaces and a letter', `${' '.repeat(1_000_000)}a`],
    ['26,001 characters that are one run', 'A'.repeat(26_001)],
    ['a megabyte of ideographs', '你好'.repeat(170_000)],
    ['a megabyte of words', 'the quick brown fox '.repeat(50_000)],
  ])('of %s is too long for the context, which is said at once and with both numbers', async (_, text) => {
    for (const model of models()) {
      await unharmed(model, async () => {
        const begin = process.cpuUsage()
        const error: unknown = await model.generate(text, GREEDY).catch((reason: unknown) => reason)
        const { user, system } = process.cpuUsage(begin)
        // T5's tokenizer reads a run of spaces as one: that prompt is short.
        if (error instanceof Error) {
          expect(error).toMatchObject({ name: 'TandemError', code: 'context-full' })
          expect(error.message).toMatch(new RegExp(`\\b${CONTEXT}\\b`))
          expect(error.message).toMatch(/\d{4,}/)
        }
        expect((user + system) / 1e6).toBeLessThan(15)
      })
    }
  })

  it('that fits exactly is read, and one token more is not', async () => {
    const ids = (length: number) => Array.from({ length }, (_, i) => 11 + (i % 50))
    expect((await qwen.generate(ids(CONTEXT), { ...GREEDY, maxNewTokens: 1 })).ids).toHaveLength(1)
    await expect(qwen.generate(ids(CONTEXT + 1), GREEDY)).rejects.toMatchObject({
      code: 'context-full',
      expected: `at most ${CONTEXT}`,
      received: `${CONTEXT + 1}`,
      remedy: expect.stringMatching(/--context-size/) as string,
    })
    const padded = {
      inputIds: [...Array(100).fill(0), ...ids(200)],
      attentionMask: [...Array(100).fill(0), ...Array(200).fill(1)],
    }
    expect((await qwen.generate(padded, GREEDY)).ids).toHaveLength(3)
    await expect(t5.generate(ids(CONTEXT + 1), GREEDY)).rejects.toMatchObject({ code: 'context-full' })
  })

  it('that grows beyond the context ends with an error, and the next one is answered', async () => {
    await unharmed(qwen, async () => {
      const endless = qwen.generate([11, 12], { doSample: false, eosTokenId: null, maxNewTokens: 10_000 })
      await expect(endless).rejects.toMatchObject({
        code: 'context-full',
        message: expect.stringMatching(/256/) as string,
      })
    })
  })
})

describe('messages', () => {
  const nested = (depth: number): object => Array.from({ length: depth }).reduce<object>((inner) => ({ inner }), {})
  const own: Record<string, unknown> = { role: 'user', content: 'a' }
  own['self'] = own

  it.each([
    ['that hold themselves', own, {}, /message 1 is nested too deep: expected at most 64 levels/],
    ['nested without end', { role: 'user', content: 'a', x: nested(100_000) }, {}, /message 1 is nested too deep/],
    [
      'of more values than a book',
      { role: 'user', content: 'a', x: Array(1_000_001).fill(0) },
      {},
      /message 1 is too large/,
    ],
    ['with tools that hold themselves', { role: 'user', content: 'a' }, { tools: [own] }, /tools is nested too deep/],
    ['with tools that are none', { role: 'user', content: 'a' }, { tools: [null] }, /Bad tools/],
    ['with tools that are numbers', { role: 'user', content: 'a' }, { tools: [5] }, /Bad tools/],
  ])('%s are refused', async (_, message, options, expected) => {
    await unharmed(qwen, async () => {
      await expect(
        qwen.generate([message] as GenerationInput, { ...GREEDY, ...options } as GenerateOptions),
      ).rejects.toMatchObject({
        ...invalid,
        message: expect.stringMatching(expected) as string,
      })
    })
  })
})

describe('options of a run', () => {
  it.each([null, 5, 'x', true, []])('that are %j are refused', async (options) => {
    for (const model of models()) {
      await expect(model.generate('abc', options as unknown as GenerateOptions)).rejects.toMatchObject({
        ...invalid,
        message: expect.stringMatching(/^Bad options: expected an object/) as string,
      })
      await expect(model.encode('abc', options as unknown as GenerateOptions)).rejects.toMatchObject(invalid)
    }
  })

  it.each([
    ['signal', {}],
    ['signal', 'x'],
    ['signal', null],
    ['signal', { aborted: false }],
    ['onStep', {}],
    ['onStep', 5],
    ['onStep', null],
  ])('%s may not be %j', async (name, value) => {
    for (const model of models()) {
      await unharmed(model, async () => {
        const options = { ...GREEDY, [name]: value } as unknown as GenerateOptions
        await expect(model.generate('abc', options)).rejects.toMatchObject({
          ...invalid,
          message: expect.stringMatching(new RegExp(`^Bad ${name}`)) as string,
        })
      })
    }
  })

  it('of one turn of a conversation that are wrong do not end the conversation', async () => {
    const conversation = qwen.converse()
    const bad = { maxNewTokens: -1 } as GenerateOptions
    const turn = async () => conversation.send('abc', bad)
    await expect(turn()).rejects.toMatchObject(invalid)
    expect((await conversation.send('abc', { ...GREEDY })).ids.length).toBeGreaterThan(0)
    await conversation.dispose()
  })
})
