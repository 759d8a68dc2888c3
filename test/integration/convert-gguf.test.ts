import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type ConvertOptions, convert, type Quantization } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { GGML_TYPES, type GgufTensorInfo, type GgufValue, typeName } from '../../src/formats/gguf/types.ts'
import { writeGguf } from '../../src/formats/gguf/write.ts'
import { load } from '../../src/runtime/load.ts'
import { makeFolder } from '../golden/convert-folder.ts'
import { quantizedModels } from '../golden/quantized-models.ts'
import { writeZeroCheckpoint } from './zero-checkpoint.ts'

let directory: string
let output: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-gguf-'))
  output = join(directory, 'out.gguf')
  onTestFinished(async () => rm(directory, { recursive: true, force: true }))
})

/** A model of the golden file in the type. */
async function modelIn(quantization: Quantization, name = 'qwen2-fallbacks-untied'): Promise<string> {
  const model = quantizedModels()[name]
  if (model === undefined) throw new Error(`${name} is not in the golden file`)
  const path = join(directory, `${quantization}.gguf`)
  const generationConfig = JSON.stringify({ decoder_start_token_id: 0, eos_token_id: 1 })
  const files = { ...model.folder.files, 'generation_config.json': generationConfig }
  await convert(await makeFolder(join(directory, name), { ...model.folder, files }), { output: path, quantization })
  return path
}

interface Foreign {
  metadata?: [string, GgufValue][]
  tensors?: GgufTensorInfo[]
  value?: number
}

/** A file that another program might have written: a few tensors of one value. */
async function foreignFile({ metadata = [], tensors = [], value = 0.5 }: Foreign): Promise<string> {
  const path = join(directory, 'foreign.gguf')
  const all = new Map<string, GgufValue>([['general.architecture', { type: 'string', value: 'llama' }], ...metadata])
  const data = async function* ({ shape }: GgufTensorInfo) {
    yield new Uint8Array(new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(value).buffer)
  }
  await writeGguf(path, { metadata: all, tensors }, { data })
  return path
}

async function refuses(model: string, error: object, options: Partial<ConvertOptions> = {}): Promise<void> {
  const before = await readdir(directory)
  await expect(convert(model, { output, ...options })).rejects.toMatchObject({ name: 'TandemError', ...error })
  expect(await readdir(directory)).toEqual(before)
}

const matching = (pattern: RegExp) => ({ message: expect.stringMatching(pattern) })

describe('a GGUF file as a source', () => {
  it('becomes a model that loads and says its new type', async () => {
    const source = await modelIn('bf16')
    const report = await convert(source, { output, quantization: 'q4_k_m' })
    expect(report).toMatchObject({ architecture: 'qwen2', quantization: 'q4_k_m', requantized: 0, output })
    expect(report.bytes).toBe((await stat(output)).size)
    const [{ metadata: old }, { metadata }] = await Promise.all([readGguf(source), readGguf(output)])
    const changed = [...metadata.keys()].filter((key) => metadata.get(key)?.value !== old.get(key)?.value)
    const isPlain = (key: string) => metadata.get(key)?.type !== 'array'
    expect(changed.filter(isPlain)).toEqual(['general.file_type', 'tandem.quantization'])
    expect([...metadata.keys()]).toEqual([...old.keys()])
    expect(metadata.get('general.file_type')?.value).toBe(15)
    await using model = await load(output, { device: 'cpu', threads: 1 })
    expect((await model.generate({ inputIds: [9, 30, 51] }, { maxNewTokens: 3 })).ids).toHaveLength(3)
  })

  it('keeps an encoder-decoder computable', async () => {
    const source = await modelIn('f16', 't5-fallbacks')
    const { fallbacks } = await convert(source, { output, quantization: 'q3_k' })
    // The input of `wo` overflows half precision, and its rows of 80 fit no quantised type.
    expect(fallbacks.filter(({ tensor }) => tensor.includes('ffn_down')).map(({ type }) => type)).toEqual([
      'f32',
      'f32',
    ])
    await using model = await load(output, { device: 'cpu', threads: 1 })
    expect(
      (await model.generate({ inputIds: [9, 30, 51] }, { maxNewTokens: 3, eosTokenId: 1 })).ids.length,
    ).toBeGreaterThan(0)
  })

  it('carries everything that it does not know, at its own alignment', async () => {
    const metadata: [string, GgufValue][] = [
      ['general.alignment', { type: 'uint32', value: 128 }],
      ['general.file_type', { type: 'uint32', value: 0 }],
      ['foreign.text', { type: 'string', value: Uint8Array.of(0xff, 0xfe) }],
      ['foreign.list', { type: 'array', items: 'uint64', value: BigUint64Array.of(1n, 2n ** 63n) }],
      ['split.count', { type: 'uint16', value: 1 }],
    ]
    const tensors = [
      { name: 'blk.0.attn_q.weight', type: GGML_TYPES.f32, shape: [64, 3] },
      { name: 'blk.0.ffn_gate_inp.weight', type: GGML_TYPES.f32, shape: [64, 3] },
      { name: 'blk.0.ffn_up_exps.weight', type: GGML_TYPES.f32, shape: [64, 3, 2] },
      { name: 'blk.0.attn_q.bias', type: GGML_TYPES.f32, shape: [5] },
    ]
    const source = await foreignFile({ metadata, tensors })
    await convert(source, { output, quantization: 'q5_1' })
    const file = await readGguf(output)
    expect(file.tensors.map(({ name, type }) => `${name} ${typeName(type)}`)).toEqual([
      'blk.0.attn_q.weight q5_1',
      'blk.0.ffn_gate_inp.weight f32',
      'blk.0.ffn_up_exps.weight q5_1',
      'blk.0.attn_q.bias f32',
    ])
    expect(file.alignment).toBe(128)
    expect(file.tensors.every(({ offset }) => offset % 128 === 0)).toBe(true)
    expect(Object.fromEntries(file.metadata)).toEqual({
      'general.architecture': { type: 'string', value: 'llama' },
      'general.alignment': { type: 'uint32', value: 128 },
      'general.file_type': { type: 'uint32', value: 9 },
      'foreign.text': { type: 'string', value: Uint8Array.of(0xff, 0xfe) },
      'foreign.list': { type: 'array', items: 'uint64', value: BigUint64Array.of(1n, 2n ** 63n) },
      'general.quantization_version': { type: 'uint32', value: 2 },
      'tandem.quantization': { type: 'string', value: 'q5_1' },
    })
  })

  it('that is quantised already is refused, unless that is allowed', async () => {
    const source = await modelIn('q8_0')
    await refuses(
      source,
      { code: 'invalid-argument', ...matching(/q8_0.*--allow-requantize/) },
      { quantization: 'q4_0' },
    )
    await refuses(source, { code: 'invalid-argument' }, { quantization: 'f32' })
    const { requantized, tensors } = await convert(source, { output, quantization: 'q4_0', allowRequantize: true })
    expect(requantized).toBeGreaterThan(0)
    expect(requantized).toBeLessThan(tensors)
  })

  it('whose types stay the same is copied byte for byte', async () => {
    const source = await modelIn('q4_k_m')
    const { requantized } = await convert(source, { output, quantization: 'q4_k_m' })
    expect(requantized).toBe(0)
    expect((await readFile(output)).equals(await readFile(source))).toBe(true)
  })

  it('is never written over', async () => {
    const source = await modelIn('f32')
    const before = await readFile(source)
    await refuses(source, { code: 'invalid-argument', ...matching(/another file/) }, { output: source })
    expect((await readFile(source)).equals(before)).toBe(true)
  })

  it.each([
    [
      'no model',
      { metadata: [['general.architecture', { type: 'uint32', value: 1 }]] },
      'invalid-file',
      /architecture/,
    ],
    [
      'a part of a model',
      { metadata: [['split.count', { type: 'uint16', value: 3 }]] },
      'unsupported-model',
      /part of 3/,
    ],
    [
      'weights that are no numbers',
      { tensors: [{ name: 'a.weight', type: GGML_TYPES.f32, shape: [32, 2] }], value: Number.NaN },
      'invalid-file',
      /a\.weight cannot become q4_0.*received 64 that are not/,
    ],
    [
      'integers in place of weights',
      { tensors: [{ name: 'a.weight', type: 26, shape: [32, 2] }] },
      'unsupported-model',
      /a\.weight.*i32/,
    ],
    [
      'rows that no model has',
      { tensors: [{ name: 'a.weight', type: GGML_TYPES.f32, shape: [2 ** 22 + 32, 2] }] },
      'unsupported-model',
      /a\.weight.*4194304.*4194336/,
    ],
  ] as [string, Foreign, string, RegExp][])('with %s is refused', async (_, file, code, pattern) => {
    await refuses(await foreignFile(file), { code, ...matching(pattern) }, { quantization: 'q4_0' })
  })

  it('that is cut off while it is read is refused', async () => {
    const source = await modelIn('f32')
    const onProgress = () => void truncate(source, 70_000)
    await refuses(source, { code: 'invalid-file', ...matching(/became shorter/) }, { quantization: 'q4_0', onProgress })
  })

  it('that is aborted in the middle leaves no file', async () => {
    const source = await modelIn('f32')
    const controller = new AbortController()
    const options = { quantization: 'iq4_nl', signal: controller.signal, onProgress: () => controller.abort() } as const
    await refuses(source, { code: 'aborted' }, options)
  })
})

describe('memory', () => {
  it('stays below 300 MB for a model of any size, from a folder and from a file', { timeout: 300_000 }, async () => {
    const folder = join(directory, 'large')
    await makeFolder(folder, {
      files: { 'config.json': JSON.stringify(LARGE) },
      tokenizer: 'qwen2_5',
      shards: [],
    })
    await writeZeroCheckpoint(join(folder, 'model.safetensors'), {
      vocabulary: LARGE.vocab_size,
      hidden: LARGE.hidden_size,
      feedForward: LARGE.intermediate_size,
      keyValue: 128,
      layers: LARGE.num_hidden_layers,
    })
    const bf16 = join(directory, 'bf16.gguf')
    expect(await peakOf(folder, { output: bf16, quantization: 'bf16' })).toBeLessThan(300e6)
    await rm(folder, { recursive: true })
    expect((await stat(bf16)).size).toBeGreaterThan(400e6)
    expect(await peakOf(bf16, { output, quantization: 'q4_k_m' })).toBeLessThan(300e6)
  })
})

/** Qwen2.5's own vocabulary and width, with fewer layers. */
const LARGE = {
  model_type: 'qwen2',
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 5,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  tie_word_embeddings: true,
}

/** Bytes that a program of its own has resident at most while it converts. */
async function peakOf(model: string, options: ConvertOptions): Promise<number> {
  const entry = pathToFileURL(fileURLToPath(new URL('../../dist/index.js', import.meta.url))).href
  const program = `
    const { convert } = await import(${JSON.stringify(entry)})
    await convert(${JSON.stringify(model)}, ${JSON.stringify(options)})
    console.log(process.resourceUsage().maxRSS)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  return Number(stdout) * 1024
}
