import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import type { ChatMessage } from '../../src/template/messages.ts'

const OPTIONS = { doSample: false, maxNewTokens: 24 }

describe('a conversation', () => {
  let cacheDirectory = ''
  let model: LanguageModel
  beforeAll(async () => {
    cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-conversation-'))
    model = await load('nano-qwen', { quantization: 'f32', cacheDirectory, device: 'cpu', threads: 1 })
  })
  afterAll(async () => {
    await model?.dispose()
    await rm(cacheDirectory, { recursive: true, force: true })
  })

  /** Counts the tokens that the engine is given. */
  function countFed(): { take(): number; stop(): void } {
    const step = model.decoder.step.bind(model.decoder)
    let fed = 0
    model.decoder.step = (state, tokens, options, signal) => {
      fed += tokens.reduce((sum, row) => sum + row.length, 0)
      return step(state, tokens, options, signal)
    }
    return {
      take() {
        const taken = fed
        fed = 0
        return taken
      },
      stop() {
        model.decoder.step = step
      },
    }
  }

  test.each([
    ['greedily', {}],
    ['with samples', { doSample: true, seed: 3 }],
  ])('answers %s as if every turn were read anew, but reads only what is new', async (_, search) => {
    const options = { ...OPTIONS, ...search }
    const fed = countFed()
    await using conversation = model.converse()
    const messages: ChatMessage[] = []
    for (const [i, text] of ['你是谁?', '一加一等于几?', 'What is the capital of China?', '谢谢'].entries()) {
      messages.push({ role: 'user', content: text })
      const answer = await conversation.send(text, options)
      const read = fed.take()
      const fresh = await model.generate(messages, options)
      const whole = fed.take()
      expect(answer.ids).toEqual(fresh.ids)
      messages.push({ role: 'assistant', content: answer.text })
      expect(conversation.messages).toEqual(messages)
      // The template says the last end token and the turn's own words anew; nothing before.
      if (i > 0) expect(read).toBeLessThan(whole - answer.inputIds.length / 2)
    }
    fed.stop()
  })

  test('works under every search, though only one text keeps its past', async () => {
    await using conversation = model.converse({ system: 'Be brief.' })
    for (const options of [{ numBeams: 3 }, { doSample: true, seed: 3 }, { penaltyAlpha: 0.3, topK: 3 }, {}]) {
      const before = conversation.messages
      const answer = await conversation.send('你好', { ...OPTIONS, ...options })
      const fresh = await model.generate([...before, { role: 'user', content: '你好' }], { ...OPTIONS, ...options })
      expect(answer.ids).toEqual(fresh.ids)
    }
    expect(conversation.messages).toHaveLength(9)
  })

  test('forgets its oldest turns when the context is full, tells so, and keeps the system message', async () => {
    await using small = await load('nano-qwen', {
      quantization: 'f32',
      cacheDirectory,
      device: 'cpu',
      contextSize: 128,
    })
    const forgotten: ChatMessage[] = []
    const conversation = small.converse({ system: 'S', onForget: (messages) => forgotten.push(...messages) })
    for (let i = 0; i < 8; i++) await conversation.send(`数字 ${i}`, OPTIONS)
    expect(forgotten.length).toBeGreaterThanOrEqual(2)
    expect(forgotten[0]).toEqual({ role: 'user', content: '数字 0' })
    expect(conversation.messages[0]).toEqual({ role: 'system', content: 'S' })
    expect(conversation.messages[1]?.role).toBe('user')
    const long = '很长的话。'.repeat(100)
    await expect(conversation.send(long, OPTIONS)).rejects.toMatchObject({
      code: 'context-full',
      message: expect.stringMatching(/fewer than 128 tokens.*received \d+/) as string,
    })
    // What failed is no part of it, and the next turn works.
    expect((await conversation.send('你好', OPTIONS)).ids.length).toBeGreaterThan(0)
    expect(conversation.messages.at(-2)).toEqual({ role: 'user', content: '你好' })
    await conversation.dispose()
  })

  test('an aborted answer stays as far as it came, and the next turn goes on', async () => {
    await using conversation = model.converse()
    const controller = new AbortController()
    const stream = conversation.send('请翻译成英语:他们正在吃烤鸭。', {
      ...OPTIONS,
      signal: controller.signal,
      onStep: () => controller.abort(),
    })
    await expect(stream).rejects.toMatchObject({ code: 'aborted' })
    expect(conversation.messages).toHaveLength(2)
    const before = conversation.messages
    const answer = await conversation.send('你好', OPTIONS)
    const fresh = await model.generate([...before, { role: 'user', content: '你好' }], OPTIONS)
    expect(answer.ids).toEqual(fresh.ids)
  })

  test('begins anew, goes on from messages, and takes one turn at a time', async () => {
    await using conversation = model.converse()
    const first = conversation.send('你好', OPTIONS)
    expect(() => conversation.send('again', OPTIONS)).toThrow(/still answering/)
    await first
    conversation.restart([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ])
    expect(conversation.messages).toHaveLength(3)
    await conversation.send('你是谁?', OPTIONS)
    expect(conversation.messages).toHaveLength(5)
    conversation.restart()
    expect(conversation.messages).toEqual([{ role: 'system', content: 'Be kind.' }])
    conversation.system = undefined
    expect(conversation.messages).toEqual([])
  })

  test('gives its sequences back', async () => {
    for (let i = 0; i < 80; i++) {
      const conversation = model.converse()
      await conversation.send('你好', { ...OPTIONS, maxNewTokens: 2 })
      await conversation.dispose()
    }
  })

  test('an encoder-decoder answers every message by itself', async () => {
    await using nano = await load('nano-chatlm', { quantization: 'f32', cacheDirectory, device: 'cpu', threads: 1 })
    await using conversation = nano.converse()
    const answers = [
      await conversation.send('请把下面的话翻译为英语:你好吗?'),
      await conversation.send('请把下面的话翻译为英语:你好吗?'),
    ]
    expect(answers.map(({ text }) => text)).toEqual(['How are you?', 'How are you?'])
    expect(conversation.messages).toHaveLength(4)
  })
})
