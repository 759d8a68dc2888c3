import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type ConvertOptions, convert } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import type { FolderDescription } from '../golden/convert-folder.ts'
import { changedFolder, type FolderChanges, type FolderName } from './changed-folder.ts'
import { writeZeroCheckpoint } from './zero-checkpoint.ts'

let directory: string
let output: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-faults-'))
  output = join(directory, 'out.gguf')
  onTestFinished(async () => rm(directory, { recursive: true, force: true }))
})

const folderOf = (name: FolderName, changes?: FolderChanges) => changedFolder(directory, name, changes)

async function refuses(folder: string, error: object, options: Partial<ConvertOptions> = {}): Promise<void> {
  await expect(convert(folder, { output, ...options })).rejects.toMatchObject(error)
  expect((await readdir(directory)).filter((name) => name.includes('out.gguf'))).toEqual([])
}

const QWEN2 = 'qwen2-untied-f32-odd-rows'
const T5 = 't5-gated-head-unscaled'

describe('arguments', () => {
  const cases: [string, unknown, unknown][] = [
    ['a directory that is no text', 7, { output: 'x' }],
    ['an empty directory', '', { output: 'x' }],
    ['no options', 'x', undefined],
    ['no output', 'x', {}],
    ['an output that is no text', 'x', { output: 7 }],
    ['an unknown type', 'x', { output: 'x', quantization: 'q4' }],
    ['a permission that is none', 'x', { output: 'x', allowRequantize: 'yes' }],
    ['a name of Object.prototype as type', 'x', { output: 'x', quantization: 'constructor' }],
    ['a signal that is none', 'x', { output: 'x', signal: {} }],
  ]
  it.each(cases)('%s', async (_, folder, options) => {
    await expect(convert(folder as string, options as ConvertOptions)).rejects.toMatchObject({
      name: 'TandemError',
      code: 'invalid-argument',
    })
  })
})

describe('a folder', () => {
  it('that does not exist', async () => refuses(join(directory, 'missing'), { code: 'not-found' }))

  it('that is a file, and no GGUF file', async () => {
    await writeFile(join(directory, 'file'), 'something else, of some length')
    await refuses(join(directory, 'file'), { code: 'invalid-file', message: expect.stringContaining('GGUF') })
  })

  it.each(['config.json', 'tokenizer.json', 'model.safetensors'])('without %s', async (name) => {
    const folder = await folderOf(QWEN2)
    await rm(join(folder, name))
    await refuses(folder, { code: 'not-found', message: expect.stringContaining(name) })
  })

  it.each(['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])(
    'with a %s that is not JSON, not an object or not text',
    async (name) => {
      const folder = await folderOf(QWEN2)
      for (const content of ['<html>', '[]', Buffer.of(0x7b, 0xff, 0x7d)]) {
        await writeFile(join(folder, name), content)
        await refuses(folder, { code: 'invalid-file', message: expect.stringContaining(name) })
      }
    },
  )

  it('without tokenizer_config.json and generation_config.json converts', async () => {
    const folder = await folderOf(T5)
    await rm(join(folder, 'tokenizer_config.json'))
    await rm(join(folder, 'generation_config.json'))
    await convert(folder, { output })
    const { metadata } = await readGguf(output)
    expect(metadata.has('tandem.tokenizer_config') || metadata.has('tandem.generation_config')).toBe(false)
  })

  it('with chat_template.jinja uses that one', async () => {
    const folder = await folderOf(QWEN2)
    await writeFile(join(folder, 'chat_template.jinja'), 'the file wins')
    await convert(folder, { output })
    expect((await readGguf(output)).metadata.get('tokenizer.chat_template')?.value).toBe('the file wins')
  })
})

describe('config.json', () => {
  const cases: [string, FolderName, Record<string, unknown>, string, RegExp][] = [
    ['of an unknown model', QWEN2, { model_type: 'mt5' }, 'unsupported-model', /qwen2, t5, umt5.*mt5/],
    ['of a model named as Object.prototype', QWEN2, { model_type: 'constructor' }, 'unsupported-model', /constructor/],
    ['without any model', QWEN2, { model_type: undefined, architectures: undefined }, 'unsupported-model', /none/],
    ['of quantised weights', QWEN2, { quantization_config: {} }, 'unsupported-model', /quantised already/],
    ['without hidden_size', QWEN2, { hidden_size: undefined }, 'invalid-file', /hidden_size.*nothing/],
    ['with a size of 0', QWEN2, { hidden_size: 0 }, 'invalid-file', /hidden_size/],
    ['with a negative size', QWEN2, { intermediate_size: -64 }, 'invalid-file', /intermediate_size/],
    ['with a fractional size', QWEN2, { hidden_size: 40.5 }, 'invalid-file', /hidden_size/],
    ['with a size as text', QWEN2, { hidden_size: '40' }, 'invalid-file', /hidden_size.*"40"/],
    ['with 10^9 layers', QWEN2, { num_hidden_layers: 1e9 }, 'invalid-file', /num_hidden_layers.*512/],
    ['with a vocabulary of 2^31', QWEN2, { vocab_size: 2 ** 31 }, 'invalid-file', /vocab_size/],
    ['with heads that do not divide', QWEN2, { num_attention_heads: 7 }, 'invalid-file', /hidden_size/],
    ['with key heads that do not divide', QWEN2, { num_key_value_heads: 2 }, 'invalid-file', /num_key_value_heads/],
    ['with another activation', QWEN2, { hidden_act: 'gelu' }, 'unsupported-model', /hidden_act/],
    ['with a sliding window', QWEN2, { use_sliding_window: true, max_window_layers: 0 }, 'unsupported-model', /window/],
    [
      'with an unknown feed-forward',
      T5,
      { feed_forward_proj: 'gated-swish' },
      'unsupported-model',
      /feed_forward_proj/,
    ],
    [
      'with a rope type that is unknown',
      QWEN2,
      { rope_scaling: { rope_type: 'llama3' } },
      'unsupported-model',
      /rope_type/,
    ],
    ['with a rope that is no object', QWEN2, { rope_scaling: 'yarn' }, 'invalid-file', /rope_scaling/],
    ['with a flag as text', QWEN2, { tie_word_embeddings: 'no' }, 'invalid-file', /tie_word_embeddings/],
    ['with an epsilon of 0', QWEN2, { rms_norm_eps: 0 }, 'invalid-file', /rms_norm_eps/],
    [
      'with other sizes than the weights',
      QWEN2,
      { intermediate_size: 96 },
      'invalid-file',
      /of \[40, 64\] in place of \[40, 96\]/,
    ],
    [
      'with fewer layers than the weights',
      T5,
      { num_layers: 1, num_decoder_layers: 2 },
      'invalid-file',
      /\d missing: decoder\.block\.1/,
    ],
    ['of a smaller T5 vocabulary', T5, { vocab_size: 100 }, 'invalid-file', /shape/],
    ['with a negative start token', T5, { decoder_start_token_id: -1 }, 'invalid-file', /decoder_start_token_id/],
  ]
  it.each(cases)('%s', async (_, name, config, code, message) => {
    await refuses(await folderOf(name, { config }), {
      name: 'TandemError',
      code,
      message: expect.stringMatching(message),
    })
  })

  it('with layers inside a window is refused, because llama.cpp would see everything', async () => {
    const config = { use_sliding_window: true, max_window_layers: 1 }
    const folder = await folderOf('qwen2-tied-bf16-sharded', { config })
    await refuses(folder, { code: 'unsupported-model', message: expect.stringMatching(/use_sliding_window/) })
  })

  it('of a class without model_type converts, and head_dim becomes a key', async () => {
    const folder = await folderOf(QWEN2, { config: { model_type: undefined, head_dim: 8 } })
    await convert(folder, { output })
    expect((await readGguf(output)).metadata.get('qwen2.attention.key_length')).toEqual({ type: 'uint32', value: 8 })
  })

  it('in the form of transformers 5 gives the same rope', async () => {
    const rope = { rope_theta: 5000, rope_type: 'linear', factor: 2 }
    await convert(await folderOf(QWEN2, { config: { rope_theta: undefined, rope_parameters: rope } }), { output })
    const { metadata } = await readGguf(output)
    expect(metadata.get('qwen2.rope.freq_base')?.value).toBe(5000)
    expect(metadata.get('qwen2.rope.scaling.type')?.value).toBe('linear')
    expect(metadata.get('qwen2.rope.scaling.factor')?.value).toBe(2)
  })
})

describe('weights', () => {
  const tensor = (name: string, shape: number[]) =>
    ({ name, dtype: 'F32', shape, weights: { bits: 8, exponent: 0, offset: 0 } }) as const

  it('that lack tensors are refused with their names', async () => {
    const folder = await folderOf(QWEN2, { tensors: (all) => all.filter(({ name }) => !name.includes('mlp')) })
    const message = expect.stringMatching(/3 missing: .*mlp\.gate_proj\.weight.*mlp\.down_proj\.weight/)
    await refuses(folder, { code: 'invalid-file', message })
  })

  it('that are untied by config.json need a head', async () => {
    const folder = await folderOf(QWEN2, { tensors: (all) => all.filter(({ name }) => name !== 'lm_head.weight') })
    await refuses(folder, { code: 'invalid-file', message: expect.stringMatching(/lm_head\.weight/) })
  })

  it('with unknown tensors convert without them, and the report says so', async () => {
    const more = Array.from({ length: 27 }, (_, i) => tensor(`extra.${i}`, [1]))
    const folder = await folderOf(QWEN2, { tensors: (all) => [...all, ...more] })
    const report = await convert(folder, { output })
    expect(report.tensors).toBe(15)
    expect(report.warnings).toEqual([
      expect.stringMatching(
        /^27 tensors are not part of architecture qwen2 and were left out: extra\.0, .* and 7 more$/,
      ),
    ])
    const without = await folderOf(QWEN2)
    const other = join(directory, 'other.gguf')
    expect((await convert(without, { output: other })).warnings).toEqual([])
    expect((await readFile(output)).equals(await readFile(other))).toBe(true)
  })

  it('with buffers of old releases convert without them', async () => {
    const buffer = tensor('model.layers.0.self_attn.rotary_emb.inv_freq', [4])
    const folder = await folderOf(QWEN2, { tensors: (all) => [...all, buffer] })
    const report = await convert(folder, { output })
    expect(report.tensors).toBe(15)
  })

  it('of integers are refused', async () => {
    const folder = await folderOf(QWEN2)
    const path = join(folder, 'model.safetensors')
    const bytes = await readFile(path)
    const at = bytes.indexOf('"F32"')
    bytes.write('"I32"', at)
    await writeFile(path, bytes)
    await refuses(folder, { code: 'unsupported-model', message: expect.stringMatching(/F32, F16, BF16.*I32/) })
  })

  it('with the embedding under another name, or under several, convert to the same file', async () => {
    await convert(await folderOf(T5), { output })
    const expected = await readGguf(output)
    const copies = (names: string[]) => (all: FolderDescription['shards'][number]['tensors']) =>
      all.flatMap((one) => (one.name === 'shared.weight' ? names.map((name) => ({ ...one, name })) : [one]))
    for (const names of [['decoder.embed_tokens.weight'], ['shared.weight', 'encoder.embed_tokens.weight']]) {
      await convert(await folderOf(T5, { tensors: copies(names) }), { output })
      const { tensors } = await readGguf(output)
      expect(tensors.map(({ name }) => name).sort()).toEqual(expected.tensors.map(({ name }) => name).sort())
    }
  })

  it('of a decoder deeper than its encoder convert', async () => {
    const name = (block: number, rest: string) => `decoder.block.${block}.${rest}`
    const deeper = (all: FolderDescription['shards'][number]['tensors']) => [
      ...all,
      ...all
        .filter((one) => one.name.startsWith('decoder.block.0.') && !one.name.includes('relative'))
        .map((one) => ({ ...one, name: name(1, one.name.slice('decoder.block.0.'.length)) })),
    ]
    await convert(await folderOf(T5, { config: { num_decoder_layers: 2 }, tensors: deeper }), { output })
    const { metadata, tensors } = await readGguf(output)
    expect(metadata.get('t5.decoder_block_count')?.value).toBe(2)
    expect(tensors.some((one) => one.name === 'dec.blk.1.cross_attn_o.weight')).toBe(true)
  })
})

describe('a conversion', () => {
  it('reports its progress up to the end', async () => {
    const folder = await folderOf('umt5-gated-tied-bf16')
    const seen: { done: number; total: number }[] = []
    const report = await convert(folder, { output, onProgress: (progress) => seen.push(progress) })
    expect(seen.at(-1)?.done).toBe(seen.at(-1)?.total)
    expect(seen).toHaveLength(report.tensors)
    expect(seen.every(({ done }, i) => done > (seen[i - 1]?.done ?? 0))).toBe(true)
  })

  it('that is aborted before or in the middle leaves no file', async () => {
    const folder = await folderOf(QWEN2)
    await refuses(folder, { code: 'aborted' }, { signal: AbortSignal.abort() })
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    await refuses(folder, { code: 'aborted' }, { signal: controller.signal, onProgress })
  })

  it('whose callback throws ends with that error and leaves no file', async () => {
    const error = new Error('from the callback')
    const onProgress = () => {
      throw error
    }
    await refuses(await folderOf(QWEN2), error, { onProgress })
  })

  it('into a place that cannot be written says so', async () => {
    const folder = await folderOf(QWEN2)
    await refuses(folder, { code: 'not-found' }, { output: join(directory, 'missing', 'x.gguf') })
    await mkdir(join(directory, 'taken'))
    await refuses(folder, { code: 'invalid-argument' }, { output: join(directory, 'taken') })
  })

  it('runs beside another one of the same folder', async () => {
    const folder = await folderOf(QWEN2)
    const other = join(directory, 'other.gguf')
    await Promise.all([convert(folder, { output }), convert(folder, { output: other })])
    expect((await readFile(output)).equals(await readFile(other))).toBe(true)
  })

  it('takes the same memory for a checkpoint of any size', async () => {
    const sizes = { hidden_size: 1024, intermediate_size: 40_960, num_attention_heads: 8, num_key_value_heads: 8 }
    const folder = await folderOf(QWEN2, { config: { ...sizes, tie_word_embeddings: true } })
    await writeZeroCheckpoint(join(folder, 'model.safetensors'), {
      vocabulary: 325,
      hidden: sizes.hidden_size,
      feedForward: sizes.intermediate_size,
      keyValue: sizes.hidden_size,
      layers: 1,
    })
    await convert(await folderOf('qwen2-tied-bf16-sharded'), { output })
    const before = process.memoryUsage.rss()
    let peak = before
    const onProgress = () => {
      peak = Math.max(peak, process.memoryUsage.rss())
    }
    const { bytes } = await convert(folder, { output, quantization: 'f16', onProgress })
    expect(bytes).toBeGreaterThan(250e6)
    // Pieces of 8 MiB, some of them garbage that is not yet collected: 60 MB where it was measured.
    expect(peak - before).toBeLessThan(150e6)
  })
})
