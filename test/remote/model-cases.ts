import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { UnnamedSearchOptions } from '../../src/generation/options.ts'
import {
  type ChatMessage,
  type GenerateOptions,
  type GenerationEvent,
  type GenerationInput,
  type GenerativeModel,
  type LanguageModel,
  type LoadOptions,
  load,
} from '../../src/index.ts'

/** Whatever loads models: `load` itself, or an engine. */
export interface Loader {
  load(model: string, options?: LoadOptions): Promise<GenerativeModel>
  dispose(): Promise<void>
}

const CHAT: ChatMessage[] = [{ role: 'user', content: '你是谁?' }]
const GREEDY = { doSample: false, maxNewTokens: 24 }
const ENDLESS = { doSample: false, eosTokenId: null, maxNewTokens: 900 }

/** What both sides of a comparison take the same time for is not part of it. */
async function timeless(result: Promise<{ timings: object }>) {
  const { timings: _, ...rest } = await result
  return rest
}

/** An error without the place where it was made. */
async function failure(work: () => unknown): Promise<unknown> {
  try {
    await work()
  } catch (error) {
    const { name, code, message, expected, received, remedy } = error as Record<string, unknown>
    return { name, code, message, expected, received, remedy }
  }
  return 'no error'
}

/** What a model must do wherever it runs. What `load` gives in this process decides. */
export function describeGenerativeModel(place: string, start: () => Promise<Loader>): void {
  describe(`a model in ${place}`, () => {
    let cacheDirectory = ''
    let loader: Loader
    let reference: LanguageModel
    let model: GenerativeModel
    const options = (extra: LoadOptions = {}): LoadOptions => ({
      quantization: 'f32',
      device: 'cpu',
      threads: 1,
      cacheDirectory,
      ...extra,
    })
    beforeAll(async () => {
      cacheDirectory = await mkdtemp(join(tmpdir(), 'tandem-remote-'))
      reference = await load('nano-qwen', options())
      loader = await start()
      model = await loader.load('nano-qwen', options())
    })
    afterAll(async () => {
      await loader?.dispose()
      await reference?.dispose()
      await rm(cacheDirectory, { recursive: true, force: true })
    })

    test('says what it is', () => {
      expect(model).toMatchObject({ kind: 'decoder-only', device: 'CPU', contextSize: reference.contextSize })
      expect(model.loadMs).toBeGreaterThan(0)
      expect(model.tokenizer.vocabularySize).toBe(reference.tokenizer.vocabularySize)
      expect(model.tokenizer.specialTokens).toEqual(reference.tokenizer.specialTokens)
    })

    test.each<[string, UnnamedSearchOptions]>([
      ['greedy', {}],
      ['sampling', { doSample: true, seed: 3, topP: 0.9, numReturnSequences: 2 }],
      ['beams', { numBeams: 3, numReturnSequences: 2 }],
      ['contrastive', { penaltyAlpha: 0.6, topK: 4 }],
    ])('generates what it generates in this process: %s', async (_, search) => {
      const given = { ...GREEDY, ...search }
      expect(await timeless(model.generate(CHAT, given))).toEqual(await timeless(reference.generate(CHAT, given)))
    })

    test.each<[string, UnnamedSearchOptions]>([
      ['tokens', {}],
      ['beams', { numBeams: 3 }],
    ])('streams pieces, and tells its steps in their order: %s', async (_, search) => {
      const follow = async (model: GenerativeModel) => {
        const told: (string | GenerationEvent)[] = []
        const stream = model.stream(CHAT, { ...GREEDY, ...search, onStep: (event) => void told.push(event) })
        let text = ''
        for await (const piece of stream) text += piece
        expect(text).toBe((await stream).text)
        return told
      }
      const told = await follow(model)
      expect(told.length).toBeGreaterThan(3)
      expect(told).toEqual(await follow(reference))
    })

    test('gives every piece after its step and before the next', async () => {
      const told: string[] = []
      const onStep = (event: GenerationEvent) => void told.push(event.kind)
      for await (const _ of model.stream(CHAT, { ...GREEDY, onStep })) {
        expect(told.length).toBeGreaterThan(0)
        told.push('piece')
      }
      expect(told).toContain('piece')
    })

    test('ends when its reader leaves the loop, and says what there was', async () => {
      const stream = model.stream(CHAT, ENDLESS)
      let text = ''
      for await (const piece of stream) {
        text += piece
        break
      }
      const result = await stream
      expect(result.finishReason).toBe('abort')
      expect(result.text.startsWith(text)).toBe(true)
      expect(result.ids.length).toBeLessThan(450)
    })

    test('is aborted before, while and after it works, with the reason as cause', async () => {
      const reason = new Error('enough')
      const before = model.generate(CHAT, { ...GREEDY, signal: AbortSignal.abort(reason) })
      await expect(before).rejects.toMatchObject({ name: 'TandemError', code: 'aborted', cause: reason })

      const controller = new AbortController()
      const onStep = () => controller.abort(reason)
      const during = model.stream(CHAT, { ...ENDLESS, signal: controller.signal, onStep })
      await expect(during).rejects.toMatchObject({ name: 'TandemError', code: 'aborted', cause: reason })

      const late = new AbortController()
      const after = await model.generate(CHAT, { ...GREEDY, signal: late.signal })
      late.abort(reason)
      expect(after.ids).toEqual((await model.generate(CHAT, GREEDY)).ids)
    })

    test('rejects with what onStep throws, and goes on afterwards', async () => {
      const thrown = new RangeError('my own')
      const onStep = () => {
        throw thrown
      }
      await expect(model.generate(CHAT, { ...ENDLESS, onStep })).rejects.toBe(thrown)
      expect((await model.generate(CHAT, GREEDY)).text).toBe((await reference.generate(CHAT, GREEDY)).text)
    })

    test.each<[unknown, unknown]>([
      [null, {}],
      [{}, {}],
      [[], {}],
      [[-1], {}],
      [[99_999], {}],
      ['abc', null],
      ['abc', 'fast'],
      ['abc', { maxNewTokens: 0 }],
      ['abc', { maxTokens: 1 }],
      ['abc', { appendEos: 'yes' }],
      ['abc', { onStep: 'often' }],
      ['abc', { signal: 'stop' }],
      ['abc', { numBeamGroups: 2, numBeams: 2 }],
      [[{ role: 'user' }], {}],
      [`${'a b '.repeat(3_000)}`, {}],
    ])('refuses %.40j with %j in the same words', async (input, given) => {
      const ask = (model: GenerativeModel) => () => model.generate(input as GenerationInput, given as GenerateOptions)
      const refused = await failure(ask(model))
      expect(refused).toMatchObject({ name: 'TandemError' })
      expect(refused).toEqual(await failure(ask(reference)))
      const stream = (model: GenerativeModel) => () => model.stream(input as GenerationInput, given as GenerateOptions)
      expect(await failure(stream(model))).toEqual(await failure(stream(reference)))
    })

    test('reads inputs and texts as it does in this process', async () => {
      expect(await model.encode(CHAT, { addGenerationPrompt: false })).toEqual(
        await reference.encode(CHAT, { addGenerationPrompt: false }),
      )
      const { tokenizer } = model
      const encoded = await tokenizer.encode('你好 abc', { appendEos: true })
      expect(encoded).toEqual(await reference.tokenizer.encode('你好 abc', { appendEos: true }))
      expect(await tokenizer.encodeBatch(['a', 'b c d'], { paddingSide: 'left' })).toEqual(
        await reference.tokenizer.encodeBatch(['a', 'b c d'], { paddingSide: 'left' }),
      )
      expect(await tokenizer.decode(encoded.inputIds, { skipSpecialTokens: true })).toBe('你好 abc')
      expect(await model.tokenize('你好 abc', { appendEos: true })).toEqual(encoded)
      expect(await tokenizer.tokens([...encoded.inputIds, 99_999])).toEqual(
        reference.tokenizer.tokens([...encoded.inputIds, 99_999]),
      )
      expect(await model.resolve({ numBeams: 2 })).toEqual(reference.resolve({ numBeams: 2 }))
      const refused = await failure(() => tokenizer.encode(5 as never))
      expect(refused).toMatchObject({ code: 'invalid-argument' })
      expect(refused).toEqual(await failure(() => reference.tokenizer.encode(5 as never)))
    })

    test('answers many at once, streamed or not, as it answers one', async () => {
      const texts = ['你好', '你是谁?', '谢谢', 'Hello', '一加一等于几?', '再见']
      const alone = await Promise.all(texts.map(async (text) => (await reference.generate(text, GREEDY)).text))
      const together = await Promise.all(
        texts.map(async (text, i) => {
          if (i % 2 === 0) return (await model.generate(text, GREEDY)).text
          let streamed = ''
          for await (const piece of model.stream(text, GREEDY)) streamed += piece
          return streamed
        }),
      )
      expect(together).toEqual(alone)
    })

    test('answers a chat at once: a text is its only message, messages are all of them', async () => {
      const once = (model: GenerativeModel) => timeless(model.chat('你是谁?', { doSample: false }))
      expect(await once(model)).toEqual(await timeless(reference.generate(CHAT, { doSample: false })))
      expect(await once(model)).toEqual(await once(reference))
      const past: ChatMessage[] = [{ role: 'system', content: 'Be kind.' }, ...CHAT]
      let streamed = ''
      for await (const piece of model.chat(past, GREEDY)) streamed += piece
      expect(streamed).toBe((await reference.generate(past, GREEDY)).text)
      const controller = new AbortController()
      const aborted = model.chat('你好', { ...ENDLESS, signal: controller.signal, onStep: () => controller.abort() })
      await expect(aborted).rejects.toMatchObject({ code: 'aborted' })
    })

    test.each<[unknown, unknown]>([
      [[], {}],
      [[1, 2], {}],
      [5, {}],
      [[{ role: 'user' }], {}],
      ['abc', { maxTokens: 1 }],
      ['abc', null],
      ['abc', { tools: 'all' }],
      ['a b '.repeat(3_000), {}],
    ])('refuses a chat of %.40j with %j in the same words', async (input, given) => {
      const ask = (model: GenerativeModel) => () => model.chat(input as string, given as GenerateOptions)
      const refused = await failure(ask(model))
      expect(refused).toMatchObject({ name: 'TandemError' })
      expect(refused).toEqual(await failure(ask(reference)))
    })

    test('writes as long an answer as was asked for, else up to 512 tokens or a full context', async () => {
      const unlimited = await loader.load('nano-qwen', options({ modelDefaults: false }))
      const small = await loader.load('nano-qwen', options({ modelDefaults: false, contextSize: 256 }))
      const endless = { doSample: false, eosTokenId: null }
      const lengths = async (
        answer: (model: GenerativeModel, given: GenerateOptions) => Promise<{ ids: number[] }>,
      ) => {
        const length = async (model: GenerativeModel, given: object) =>
          (await answer(model, { ...endless, ...given })).ids.length
        return [
          await length(unlimited, {}),
          await length(unlimited, { maxNewTokens: 7 }),
          await length(unlimited, { maxLength: 40 }),
          await length(small, {}),
        ]
      }
      const read = (await reference.encode(CHAT)).inputIds.length
      const expected = [512, 7, 40 - read, 256 - read]
      expect(await lengths((model, given) => model.chat(CHAT, given))).toEqual(expected)
      expect(await lengths((model, given) => model.converse().send('你是谁?', given))).toEqual(expected)
      await expect(unlimited.chat(CHAT, { maxLength: read })).rejects.toThrow(/leaves no room.*max_length/)
      await Promise.all([unlimited.dispose(), small.dispose()])
    })

    test('converses: turns, a system message, beginning anew', async () => {
      const talk = async (model: GenerativeModel) => {
        const conversation = model.converse({ system: 'Be kind.' })
        const answers = [await timeless(conversation.send('你是谁?', GREEDY))]
        answers.push(await timeless(conversation.send('一加一等于几?', { ...GREEDY, numBeams: 2 })))
        answers.push(await timeless(conversation.send('谢谢', GREEDY)))
        expect(() => conversation.send('x', { signal: 'no' } as never)).toThrow(/signal/)
        await expect(conversation.send('x', { maxTokens: 5 } as never)).rejects.toMatchObject({
          code: 'invalid-argument',
        })
        conversation.restart([...CHAT, { role: 'assistant', content: 'nano-qwen' }])
        answers.push(await timeless(conversation.send('再见', GREEDY)))
        await conversation.dispose()
        return { answers, messages: conversation.messages }
      }
      const talked = await talk(model)
      expect(talked.messages).toHaveLength(5)
      expect(talked).toEqual(await talk(reference))
    })

    test('keeps what an aborted turn has said', async () => {
      const conversation = model.converse()
      const controller = new AbortController()
      const turn = { ...ENDLESS, signal: controller.signal, onStep: () => controller.abort() }
      await expect(conversation.send('你好', turn)).rejects.toMatchObject({ code: 'aborted' })
      expect(conversation.messages).toHaveLength(2)
      conversation.restart(CHAT.concat({ role: 'assistant', content: 'a' }))
      expect((await conversation.send('你好', GREEDY)).ids.length).toBeGreaterThan(0)
      await conversation.dispose()
    })

    test('ends the answer of a conversation that is disposed, and keeps none of their pasts', async () => {
      for (let i = 0; i < 40; i++) {
        const conversation = model.converse()
        const stream = conversation.send('你好', ENDLESS)
        await new Promise((resolve) => setTimeout(resolve, i % 4))
        await Promise.all([conversation.dispose(), conversation.dispose()])
        const { finishReason, ids } = await stream
        expect(finishReason).toBe('abort')
        expect(ids.length).toBeLessThan(450)
      }
      // As many tokens as all of them together have room for.
      const { ids } = await model.generate(CHAT, { ...ENDLESS, maxNewTokens: 980 })
      expect(ids).toHaveLength(980)
    })

    test('forgets the oldest turns where the context is full', async () => {
      const small = await loader.load('nano-qwen', options({ contextSize: 128 }))
      const forgotten: ChatMessage[] = []
      const conversation = small.converse({ onForget: (messages) => void forgotten.push(...messages) })
      for (let i = 0; i < 6; i++) await conversation.send(`数字 ${i}`, GREEDY)
      expect(forgotten[0]).toEqual({ role: 'user', content: '数字 0' })
      await expect(conversation.send('很长的话。'.repeat(100), GREEDY)).rejects.toMatchObject({ code: 'context-full' })
      await small.dispose()
    })

    test('lives beside another model, an encoder-decoder', async () => {
      const t5 = await loader.load('nano-chatlm', options())
      expect(t5.kind).toBe('encoder-decoder')
      const [translation, answer] = await Promise.all([
        t5.converse().send('请把下面的话翻译为英语:你好吗?'),
        model.generate(CHAT, GREEDY),
      ])
      expect(translation.text).toBe('How are you?')
      expect(await timeless(t5.chat('请把下面的话翻译为英语:你好吗?'))).toMatchObject({
        text: 'How are you?',
        inputIds: (await t5.encode('请把下面的话翻译为英语:你好吗?', { appendEos: true })).inputIds,
      })
      await expect(t5.chat(CHAT)).rejects.toMatchObject({ code: 'unsupported-model' })
      await t5.dispose()
      expect((await model.generate(CHAT, GREEDY)).text).toBe(answer.text)
    })

    test('is loaded with progress, which may throw, and until it is aborted', async () => {
      const fresh = (name: string) => options({ quantization: 'q8_0', cacheDirectory: join(cacheDirectory, name) })
      const progress: number[] = []
      const onProgress = ({ done, total }: { done: number; total: number }) => void progress.push(done / total)
      const loaded = await loader.load('nano-qwen', { ...fresh('a'), onProgress })
      expect(progress.at(-1)).toBe(1)
      expect(progress).toEqual(progress.toSorted((a, b) => a - b))
      await loaded.dispose()

      const thrown = new Error('my own')
      const throwing = loader.load('nano-qwen', {
        ...fresh('b'),
        onProgress: () => {
          throw thrown
        },
      })
      await expect(throwing).rejects.toBe(thrown)

      const reason = new Error('too slow')
      const controller = new AbortController()
      const aborted = loader.load('nano-qwen', {
        ...fresh('c'),
        signal: controller.signal,
        onProgress: () => controller.abort(reason),
      })
      await expect(aborted).rejects.toMatchObject({ code: 'aborted', cause: reason })
      const never = loader.load('nano-qwen', options({ signal: AbortSignal.abort(reason) }))
      await expect(never).rejects.toMatchObject({ code: 'aborted', cause: reason })
    })

    test.each<[unknown, unknown]>([
      ['no/such/model', {}],
      ['', {}],
      [5, {}],
      ['nano-qwen', null],
      ['nano-qwen', { colour: 'red' }],
      ['nano-qwen', { threads: 0 }],
      ['nano-qwen', { device: 'abacus' }],
      ['nano-qwen', { quantization: 'q4' }],
    ])('is not loaded from %j with %j, in the same words', async (name, given) => {
      const ask = (with_: Pick<Loader, 'load'>) => () => with_.load(name as string, given as LoadOptions)
      const refused = await failure(ask(loader))
      expect(refused).toMatchObject({ name: 'TandemError' })
      expect(refused).toEqual(await failure(ask({ load })))
    })

    test('dispose ends what runs, any number of times, and nothing comes after it', async () => {
      const doomed = await loader.load('nano-qwen', options())
      const conversation = doomed.converse()
      const running = [doomed.generate(CHAT, ENDLESS), doomed.stream(CHAT, ENDLESS), conversation.send('a', ENDLESS)]
      const ended = Promise.allSettled(running)
      await new Promise((resolve) => setTimeout(resolve, 20))
      await Promise.all([doomed.dispose(), doomed.dispose()])
      await doomed[Symbol.asyncDispose]()
      for (const one of await ended) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'disposed' } })
      await expect(doomed.generate(CHAT)).rejects.toMatchObject({ code: 'disposed' })
      await conversation.dispose()
      expect((await model.generate(CHAT, GREEDY)).ids.length).toBeGreaterThan(0)
    })
  })
}
