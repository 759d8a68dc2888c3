import { existsSync } from 'node:fs'
import { appendFile, cp, readdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type GenerateOptions,
  type GenerationInput,
  type LanguageModel,
  type LoadOptions,
  load,
} from '../../src/index.ts'
import { describeSearches } from '../generation/search-cases.ts'
import { makeSmallModels, type SmallModels } from './small-models.ts'

let small: SmallModels
let t5: LanguageModel
let qwen: LanguageModel
const options = (extra: LoadOptions = {}): LoadOptions => ({
  quantization: 'f32',
  device: 'cpu',
  threads: 1,
  cacheDirectory: small.cache,
  ...extra,
})

beforeAll(async () => {
  small = await makeSmallModels()
  t5 = await load(small.t5, options())
  qwen = await load(small.qwen, options())
})
afterAll(async () => {
  await t5?.dispose()
  await qwen?.dispose()
  await small?.remove()
})

const ones = (inputIds: number[]) => ({ inputIds, attentionMask: inputIds.map(() => 1) })
for (const [name, model] of [
  ['an encoder-decoder engine', () => t5],
  ['a decoder-only engine', () => qwen],
] as const) {
  describeSearches(name, () => ({
    decoder: model().decoder,
    prompts: [ones([11, 12, 13]), ones([40, 41, 42, 43, 44])],
  }))
}

describe('load', () => {
  it('knows both kinds of models', () => {
    expect(t5.kind).toBe('encoder-decoder')
    expect(qwen.kind).toBe('decoder-only')
    expect(t5.loadMs).toBeGreaterThan(0)
  })

  it('converts a folder once, and again when a byte of it has changed', async () => {
    const copy = join(small.directory, 'copy')
    const cacheDirectory = join(small.directory, 'copy-cache')
    await cp(small.t5, copy, { recursive: true })
    let conversions = 0
    const onProgress: LoadOptions['onProgress'] = ({ done, total }) => {
      if (done === total) conversions += 1
    }
    for (let i = 0; i < 2; i++) await (await load(copy, options({ cacheDirectory, onProgress }))).dispose()
    expect(conversions).toBe(1)
    await appendFile(join(copy, 'config.json'), '\n')
    await (await load(copy, options({ cacheDirectory, onProgress }))).dispose()
    expect(conversions).toBe(2)
    expect(await readdir(cacheDirectory)).toHaveLength(2)
  })

  it('leaves one good file when many convert the same folder at once', async () => {
    const cacheDirectory = join(small.directory, 'shared-cache')
    const models = await Promise.all(Array.from({ length: 4 }, () => load(small.t5, options({ cacheDirectory }))))
    const texts = await Promise.all(models.map((model) => model.generate([11, 12])))
    expect(new Set(texts.map(({ text }) => text)).size).toBe(1)
    for (const model of models) await model.dispose()
    expect(await readdir(cacheDirectory)).toHaveLength(1)
  })

  it('generates from the GGUF file alone what the folder generates', async () => {
    for (const [folder, model] of [
      [small.t5, t5],
      [small.qwen, qwen],
    ] as const) {
      const name = (await readdir(small.cache)).find((file) => folder.endsWith(file.split('-f32')[0] ?? ''))
      const alone = await load(join(small.cache, name ?? ''), { device: 'cpu', threads: 1 })
      const { timings: _, ...expected } = await model.generate('你好 abc')
      expect(await alone.generate('你好 abc')).toMatchObject(expected)
      await alone.dispose()
    }
  })

  it.each([
    ['', 'invalid-argument'],
    [5, 'invalid-argument'],
    [undefined, 'invalid-argument'],
    ['a\0b', 'invalid-argument'],
    ['no/such/model', 'not-found'],
    ['/dev/null', 'invalid-argument'],
    [import.meta.filename, 'invalid-file'],
    [import.meta.dirname, 'not-found'],
  ])('refuses %j with %s', async (model, code) => {
    const loading = load(model as string, { device: 'cpu', cacheDirectory: small.cache })
    await expect(loading).rejects.toMatchObject({ name: 'TandemError', code })
  })

  it('does not quantise what is converted already', async () => {
    const loading = load(import.meta.filename, { quantization: 'q8_0' })
    await expect(loading).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  it('converts to a mix of types, once', async () => {
    const cacheDirectory = join(small.directory, 'mixed-cache')
    for (let round = 0; round < 2; round++) {
      await using model = await load(small.qwen, options({ cacheDirectory, quantization: 'q4_k_m' }))
      expect(model.file.quantization).toBe('q4_k_m')
      expect((await model.generate([11, 12, 13], { maxNewTokens: 2 })).ids).toHaveLength(2)
      expect(await readdir(cacheDirectory)).toEqual([expect.stringMatching(/^small-qwen-q4_k_m-/)])
    }
  })

  it.each([
    ['q4_k_m', 'unsupported-option', /q4_k, .*received q4_k_m for t5/],
    ['q4', 'invalid-argument', /q4_k_m, .*received 'q4'/],
    [8, 'invalid-argument', /received 8/],
  ])('refuses the quantization %j of an encoder-decoder with %s', async (quantization, code, pattern) => {
    const cacheDirectory = join(small.directory, 'refused-cache')
    const loading = load(small.t5, options({ cacheDirectory, quantization: quantization as string }))
    await expect(loading).rejects.toMatchObject({ code, message: expect.stringMatching(pattern) })
    if (existsSync(cacheDirectory)) expect(await readdir(cacheDirectory)).toEqual([])
  })

  it('refuses a broken cache entry instead of running it', async () => {
    const cacheDirectory = join(small.directory, 'broken-cache')
    await (await load(small.t5, options({ cacheDirectory }))).dispose()
    const [name = ''] = await readdir(cacheDirectory)
    await truncate(join(cacheDirectory, name), 5000)
    await expect(load(small.t5, options({ cacheDirectory }))).rejects.toMatchObject({ code: 'invalid-file' })
  })

  it('can be aborted, and leaves nothing behind then', async () => {
    const cacheDirectory = join(small.directory, 'aborted-cache')
    await expect(load(small.t5, options({ cacheDirectory, signal: AbortSignal.abort() }))).rejects.toMatchObject({
      code: 'aborted',
    })
    const controller = new AbortController()
    const loading = load(
      small.t5,
      options({ cacheDirectory, signal: controller.signal, onProgress: () => controller.abort() }),
    )
    await expect(loading).rejects.toMatchObject({ code: 'aborted' })
    expect(existsSync(cacheDirectory) ? await readdir(cacheDirectory) : []).toEqual([])
  })

  it('says so when the cache cannot be made', async () => {
    const file = join(small.directory, 'a-file')
    await writeFile(file, '')
    const cacheDirectory = join(file, 'cache')
    await expect(load(small.t5, options({ cacheDirectory }))).rejects.toMatchObject({ code: 'io' })
  })
})

describe('generate', () => {
  it('takes a text, ids, ids with a mask, and messages', async () => {
    const text = await qwen.generate('abc')
    const { inputIds } = await qwen.tokenizer.encode('abc')
    expect(text.prompt).toBe('abc')
    for (const input of [inputIds, { inputIds }, { inputIds, attentionMask: [1, 1, 1].slice(0, inputIds.length) }]) {
      expect((await qwen.generate(input as GenerationInput)).ids).toEqual(text.ids)
    }
    const padded = { inputIds: [320, 320, ...inputIds], attentionMask: [0, 0, ...inputIds.map(() => 1)] }
    expect((await qwen.generate(padded)).ids).toEqual(text.ids)
    const chat = await qwen.generate([{ role: 'user', content: 'abc' }])
    expect(chat.prompt).toBe('<|im_start|>user\nabc<|im_end|>\n<|im_start|>assistant\n')
    const closed = await qwen.generate([{ role: 'user', content: 'abc' }], { addGenerationPrompt: false })
    expect(closed.prompt).toBe('<|im_start|>user\nabc<|im_end|>\n')
  })

  it('appends the end token to the prompt only when asked', async () => {
    const without = await t5.generate('abc')
    const withEnd = await t5.generate('abc', { appendEos: true })
    expect(withEnd.inputIds).toEqual([...without.inputIds, 1])
    await expect(t5.generate('')).rejects.toMatchObject({ code: 'invalid-argument' })
    expect((await t5.generate('', { appendEos: true })).inputIds).toEqual([1])
  })

  it('does not let masked tokens of an encoder change anything', async () => {
    const plain = await t5.generate(ones([11, 12, 13]))
    const masked = await t5.generate({ inputIds: [11, 12, 13, 0, 0], attentionMask: [1, 1, 1, 0, 0] })
    expect(masked.ids).toEqual(plain.ids)
  })

  it('keeps the ids that it was given, whatever the caller does with the list', async () => {
    for (const model of [t5, qwen]) {
      const { ids } = await model.generate([11, 12, 13])
      const input = [11, 12, 13]
      const result = await model.generate(input, { onStep: () => void input.splice(0) })
      expect(result).toMatchObject({ ids, inputIds: [11, 12, 13] })
    }
  })

  it('answers many at once as it answers one', async () => {
    const inputs = Array.from({ length: 12 }, (_, i) => [11 + i, 30, 31])
    for (const model of [t5, qwen]) {
      const alone: number[][] = []
      for (const input of inputs) alone.push((await model.generate(input)).ids)
      const together = await Promise.all(inputs.map((input) => model.generate(input)))
      expect(together.map(({ ids }) => ids)).toEqual(alone)
    }
  })

  it.each([
    [null, {}],
    [5, {}],
    [{}, {}],
    [[], {}],
    [['a'], {}],
    [[1.5], {}],
    [[-1], {}],
    [[99_999], {}],
    [{ inputIds: [1, 2], attentionMask: [1] }, {}],
    [{ inputIds: [1, 2], attentionMask: [1, 2] }, {}],
    [{ inputIds: 'abc' }, {}],
    [{ inputIds: [1, 2], attentionMask: [1, 0] }, {}],
    ['abc', { maxNewTokens: 0 }],
    ['abc', { maxLength: 1 }],
    ['abc', { maxTokens: 1 }],
    ['abc', { appendEos: 'yes' }],
    ['abc', { onStep: 'often' }],
    ['abc', { signal: 'stop' }],
    [[{ role: 'user', content: 'a' }], { tools: {} }],
    [[{ role: 'user' }], {}],
  ])('refuses %j with options %j', async (input, generation) => {
    await expect(qwen.generate(input as GenerationInput, generation as GenerateOptions)).rejects.toMatchObject({
      code: 'invalid-argument',
    })
  })

  it('needs a chat template for messages', async () => {
    const messages = [{ role: 'user', content: 'a' }]
    await expect(t5.generate(messages)).rejects.toMatchObject({ code: 'unsupported-model' })
  })

  it('runs to the limit when nothing ends a text', async () => {
    const { ids, finishReason } = await qwen.generate('abc', { eosTokenId: null, maxNewTokens: 40 })
    expect(ids).toHaveLength(40)
    expect(finishReason).toBe('length')
  })

  it('can be aborted in the middle, and is unharmed', async () => {
    for (const model of [t5, qwen]) {
      const { ids } = await model.generate([11, 12], { maxNewTokens: 30 })
      const controller = new AbortController()
      const long = model.generate([11, 12], { eosTokenId: null, maxNewTokens: 1000, signal: controller.signal })
      setTimeout(() => controller.abort(), 5)
      await expect(long).rejects.toMatchObject({ code: 'aborted' })
      expect((await model.generate([11, 12], { maxNewTokens: 30 })).ids).toEqual(ids)
    }
  })
})

describe('dispose', () => {
  it('is idempotent, ends what runs, and forbids what comes after', async () => {
    for (const folder of [small.t5, small.qwen]) {
      const model = await load(folder, options())
      const running = model.generate([11, 12], { eosTokenId: null, maxNewTokens: 1000 })
      const ended = expect(running).rejects.toMatchObject({ code: 'disposed' })
      await new Promise((resolve) => setTimeout(resolve, 5))
      await Promise.all([model.dispose(), model.dispose()])
      await model[Symbol.asyncDispose]()
      await ended
      await expect(model.generate([11, 12])).rejects.toMatchObject({ code: 'disposed' })
      expect(model.tokenizer.decode([11])).toBeTypeOf('string')
    }
  })
})
