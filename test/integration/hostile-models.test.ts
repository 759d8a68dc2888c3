import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GgufFile, readGguf } from '../../src/formats/gguf/read.ts'
import { openEngine } from '../../src/native/model.ts'
import { TINY_MODELS, tinyModel } from './tiny-models.ts'

// Files that a reader of GGUF has nothing against, and that ggml or libllama would end the process for.

async function opening(file: GgufFile, path: string): Promise<unknown> {
  const engine = await openEngine(file, path, { device: 'cpu', threads: 1 })
  await engine.dispose()
  return engine
}

function withMetadata(file: GgufFile, key: string, value: unknown): GgufFile {
  return { ...file, metadata: new Map([...file.metadata, [key, { type: 'uint32', value } as never]]) }
}

describe('encoder-decoder files', () => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  let file: GgufFile
  beforeAll(async () => {
    model = await tinyModel(TINY_MODELS[0])
    file = await readGguf(model.path)
  })
  afterAll(() => model.close())

  const names = [
    'token_embd.weight',
    'enc.blk.0.attn_q.weight',
    'enc.blk.0.attn_rel_b.weight',
    'dec.output_norm.weight',
  ]
  test.each(names)('a type that cannot be computed with: %s', async (name) => {
    const i32 = 26
    const tensors = file.tensors.map((tensor) => (tensor.name === name ? { ...tensor, type: i32 } : tensor))
    await expect(opening({ ...file, tensors }, model.path)).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(name) as string,
    })
  })

  test('missing tensors and other shapes are named', async () => {
    const without = file.tensors.filter(({ name }) => name !== 'dec.blk.1.cross_attn_k.weight')
    await expect(opening({ ...file, tensors: without }, model.path)).rejects.toMatchObject({
      message: expect.stringContaining('dec.blk.1.cross_attn_k.weight') as string,
    })
    const turned = file.tensors.map((tensor) =>
      tensor.name === 'enc.blk.0.ffn_up.weight' ? { ...tensor, shape: tensor.shape.toReversed() } : tensor,
    )
    await expect(opening({ ...file, tensors: turned }, model.path)).rejects.toMatchObject({ code: 'invalid-file' })
  })

  test.each([4, 16, 0, -3, 1.5, 'far'])('a maximal distance of %s', async (distance) => {
    const config = JSON.stringify({ relative_attention_max_distance: distance })
    const metadata = new Map([...file.metadata, ['tandem.config', { type: 'string', value: config } as never]])
    await expect(opening({ ...file, metadata }, model.path)).rejects.toMatchObject({ code: 'unsupported-model' })
  })

  test.each([0, 2, 7, 2 ** 31])('%s buckets', async (buckets) => {
    const changed = withMetadata(file, 't5.attention.relative_buckets_count', buckets)
    await expect(opening(changed, model.path)).rejects.toMatchObject({ name: 'TandemError' })
  })

  test('offsets beyond the file', async () => {
    const tensors = file.tensors.map((tensor) => ({ ...tensor, offset: tensor.offset + 1e9 }))
    await expect(opening({ ...file, tensors }, model.path)).rejects.toMatchObject({ code: 'io' })
  })
})

describe('decoder-only files', () => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  let file: GgufFile
  beforeAll(async () => {
    model = await tinyModel(TINY_MODELS[1])
    file = await readGguf(model.path)
  })
  afterAll(() => model.close())

  test.each([
    ['qwen2.block_count', 0],
    ['qwen2.block_count', 1000],
    ['qwen2.nextn_predict_layers', 99],
    ['qwen2.expert_count', 5000],
    ['qwen2.expert_used_count', 2],
    ['qwen2.expert_group_count', 2],
  ])('%s = %s', async (key, value) => {
    await expect(opening(withMetadata(file, key, value), model.path)).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(key) as string,
    })
  })

  const F16 = 1
  const I32 = 26
  const F64 = 28
  test.each([
    ['blk.0.attn_norm.weight', F16, 'f32, as every vector'],
    ['blk.0.attn_q.bias', I32, 'f32, as every vector'],
    ['output_norm.weight', 8, 'f32, as every vector'],
    ['blk.0.attn_q.weight', I32, 'a floating point or quantised type'],
    ['blk.1.ffn_down.weight', F64, 'a floating point or quantised type'],
    ['token_embd.weight', I32, 'a floating point or quantised type'],
  ])('%s of type %s, at which ggml would end the process', async (name, type, expected) => {
    const tensors = file.tensors.map((tensor) => (tensor.name === name ? { ...tensor, type } : tensor))
    await expect(opening({ ...file, tensors }, model.path)).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(name) as string,
      expected,
      received: `ggml type ${type}`,
    })
    expect(await opening(file, model.path)).toBeDefined()
  })

  test.each([
    ['qwen2.attention.layer_norm_rms_epsilon', -1, 'at least 0'],
    ['qwen2.attention.layer_norm_rms_epsilon', Number.NaN, 'a finite number'],
    ['qwen2.rope.freq_base', Number.NEGATIVE_INFINITY, 'a finite number'],
  ])('%s = %s, which ggml asserts against', async (key, value, expected) => {
    const metadata = new Map([...file.metadata, [key, { type: 'float32', value } as never]])
    await expect(opening({ ...file, metadata }, model.path)).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(key) as string,
      expected,
      received: String(value),
    })
  })

  describe('a token that is there twice', () => {
    const tokens = { type: 'array', items: 'string', value: ['a', '', 'b', '', 'a'] }

    test('is refused where libllama reads the tokens', async () => {
      const count = { type: 'uint32', value: 6 }
      const metadata = new Map([
        ...file.metadata,
        ['tokenizer.ggml.tokens', tokens as never],
        ['qwen2.vocab_size', count as never],
      ])
      await expect(opening({ ...file, metadata }, model.path)).rejects.toMatchObject({ code: 'invalid-file' })
    })

    test('counts for two where it does not, and they are fewer than the model has', async () => {
      const metadata = new Map([...file.metadata, ['tokenizer.ggml.tokens', tokens as never]])
      await expect(opening({ ...file, metadata }, model.path)).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringMatching(/^(?!.*dummy).*token_embd\.weight/) as string,
      })
    })
  })

  test.each([
    ['tokens that are numbers', 'tokenizer.ggml.tokens', { type: 'array', items: 'int32', value: new Int32Array(9) }],
    ['a vocab_size that is a text', 'qwen2.vocab_size', { type: 'string', value: 'many' }],
  ])('%s', async (_, key, value) => {
    const tokens = { type: 'array', items: 'string', value: ['a', 'a'] }
    const metadata = new Map([...file.metadata, ['tokenizer.ggml.tokens', tokens as never], [key, value as never]])
    await expect(opening({ ...file, metadata }, model.path)).rejects.toMatchObject({ code: 'invalid-file' })
  })

  test('a file that libllama refuses gives its reason', async () => {
    await expect(opening(file, `${model.path}.missing`)).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringContaining('missing') as string,
    })
  })
})
