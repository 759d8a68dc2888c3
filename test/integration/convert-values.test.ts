import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type ConversionReport, type ConvertOptions, convert } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { GGML_TYPES } from '../../src/formats/gguf/types.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { readTokenizer } from '../../src/runtime/converted-model.ts'
import { load } from '../../src/runtime/load.ts'
import { changedFolder, type FolderName } from './changed-folder.ts'

let directory: string
let output: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-values-'))
  output = join(directory, 'out.gguf')
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
})

/** A refusal leaves nothing, and the same folder in order converts afterwards. */
async function refuses(folder: string, error: object, options: Partial<ConvertOptions> = {}): Promise<void> {
  await expect(convert(folder, { output, ...options })).rejects.toMatchObject({ name: 'TandemError', ...error })
  expect((await readdir(directory)).filter((name) => name.includes('out.gguf'))).toEqual([])
}

const F32 = 'qwen2-untied-f32-odd-rows'
const BF16 = 'qwen2-tied-bf16-sharded'
const T5 = 't5-relu-tied-f32-odd-rows'
const UP = 'model.layers.0.mlp.up_proj.weight'
const valueRemarks = ({ warnings }: ConversionReport) => warnings.filter((warning) => warning.includes('values of'))
const matching = (message: RegExp) => ({ message: expect.stringMatching(message) as string })

/** Writes bytes into a tensor of a checkpoint, at the places of some of its values. */
async function poison(folder: string, tensor: string, bytes: number[], places = [0]): Promise<void> {
  const weights = await openSafetensors(folder)
  await weights.close()
  const found = weights.tensors.get(tensor)
  if (found === undefined) throw new Error(`${folder} has no ${tensor}`)
  const file = await open(join(folder, found.file), 'r+')
  for (const place of places)
    await file.write(Uint8Array.from(bytes), 0, bytes.length, found.offset + place * bytes.length)
  await file.close()
}

const f32 = (value: number) => [...new Uint8Array(Float32Array.of(value).buffer)]
/** Little-endian: NaN, infinity, and 70144, which half precision cannot hold. */
const BF16_NAN = [0xc0, 0x7f]
const BF16_MINUS_INFINITY = [0x80, 0xff]
const BF16_70144 = [0x89, 0x47]

describe('weights that are no numbers', () => {
  it.each([
    ['NaN in f32', F32, f32(Number.NaN), 'f32'],
    ['NaN in f32', F32, f32(Number.NaN), 'q8_0'],
    ['infinity in f32', F32, f32(Number.NEGATIVE_INFINITY), 'f16'],
    ['infinity in f32', F32, f32(Number.POSITIVE_INFINITY), 'bf16'],
    ['NaN in bf16', BF16, BF16_NAN, 'bf16'],
    ['infinity in bf16', BF16, BF16_MINUS_INFINITY, 'q4_0'],
  ] as const)('%s: %s as %s refuses with the tensor and how many', async (_, name, bytes, quantization) => {
    const folder = await changedFolder(directory, name)
    await poison(folder, UP, [...bytes], [0, 7, 100])
    await refuses(
      folder,
      {
        code: 'invalid-file',
        received: '3 that are not',
        ...matching(/^blk\.0\.ffn_up\.weight cannot become .*allowNonfinite/),
      },
      { quantization },
    )
    await poison(folder, UP, bytes.length === 4 ? f32(0.5) : [0, 0x3f], [0, 7, 100])
    expect(valueRemarks(await convert(folder, { output, quantization }))).toEqual([])
  })

  it.each(['model.norm.weight', 'model.layers.0.self_attn.q_proj.bias', 'model.embed_tokens.weight'])(
    'are found in %s, too',
    async (tensor) => {
      const folder = await changedFolder(directory, F32)
      await poison(folder, tensor, f32(Number.NaN))
      await refuses(folder, { code: 'invalid-file', received: '1 that are not' })
    },
  )

  it('of a model that is to keep them stay as they are, and are named', async () => {
    const folder = await changedFolder(directory, F32)
    await poison(folder, UP, f32(Number.NaN), [1, 2])
    await poison(folder, 'model.norm.weight', f32(Number.POSITIVE_INFINITY))
    const { warnings } = await convert(folder, { output, quantization: 'q8_0', allowNonfinite: true })
    expect(warnings).toEqual([
      '2 values of blk.0.ffn_up.weight are not finite, or too large for f16: it stays f32',
      '1 values of output_norm.weight are not finite, or too large for f32: it stays f32',
    ])
    expect(await stored('blk.0.ffn_up.weight')).toMatchObject({
      type: GGML_TYPES.f32,
      start: [expect.any(Number), Number.NaN, Number.NaN],
    })
    const model = await load(output, { device: 'cpu', threads: 1 })
    await expect(model.generate([11, 12], { doSample: false })).rejects.toMatchObject({ code: 'compute-failed' })
    await model.dispose()
  })

  it('keep their values from bf16 as well', async () => {
    const folder = await changedFolder(directory, BF16)
    await poison(folder, UP, BF16_MINUS_INFINITY, [0, 2])
    await poison(folder, UP, [0x80, 0x3f], [1])
    const report = await convert(folder, { output, quantization: 'q8_0', allowNonfinite: true })
    expect(valueRemarks(report)).toHaveLength(1)
    const infinity = Number.NEGATIVE_INFINITY
    expect(await stored('blk.0.ffn_up.weight')).toEqual({ type: GGML_TYPES.f32, start: [infinity, 1, infinity] })
  })
})

/** Type of a tensor of the new file, and its first values if they are f32. */
async function stored(name: string): Promise<{ type: number | undefined; start: number[] }> {
  const found = (await readGguf(output)).tensors.find((tensor) => tensor.name === name)
  const bytes = await readFile(output)
  const at = found?.offset ?? 0
  return { type: found?.type, start: [0, 4, 8].map((place) => bytes.readFloatLE(at + place)) }
}

describe('weights that are too large', () => {
  it.each(['f16', 'q8_0', 'q4_k'] as const)('for %s are refused with the tensor and how many', async (quantization) => {
    const folder = await changedFolder(directory, F32)
    await poison(folder, UP, f32(-65_504), [3])
    await poison(folder, UP, f32(65_505), [0, 5])
    await refuses(
      folder,
      { code: 'invalid-file', expected: 'finite values of at most 65504', received: '2 that are not' },
      { quantization },
    )
  })

  it('for half precision are none for f32 and bf16', async () => {
    const folder = await changedFolder(directory, BF16)
    await poison(folder, UP, BF16_70144)
    for (const quantization of ['f32', 'bf16'] as const) {
      expect(valueRemarks(await convert(folder, { output, quantization }))).toEqual([])
    }
    await rm(output)
    await refuses(folder, { code: 'invalid-file' }, { quantization: 'f16' })
  })
})

describe('a checkpoint and its config.json', () => {
  it('that differ in many places say all of them at once', async () => {
    const folder = await changedFolder(directory, F32, {
      config: { intermediate_size: 96 },
      tensors: (all) => all.filter(({ name }) => !name.includes('layernorm')),
    })
    await refuses(folder, {
      code: 'invalid-file',
      ...matching(
        /2 missing: \S+input_layernorm\.weight, \S+post_attention_layernorm\.weight; 3 of another shape: .*gate_proj.*up_proj.*down_proj|2 missing.*3 of another shape: .*down_proj.*gate_proj.*up_proj/,
      ),
    })
  })

  it('that has nothing in common shows some names and counts the others', async () => {
    const folder = await changedFolder(directory, F32, { config: { num_hidden_layers: 50 } })
    const error = await convert(folder, { output }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'invalid-file', ...matching(/588 missing: .* and 568 more/) })
    expect((error as Error).message.length).toBeLessThan(2_500)
  })

  it('of several types that cannot be converted names them', async () => {
    const folder = await changedFolder(directory, F32)
    const path = join(folder, 'model.safetensors')
    const text = (await readFile(path)).toString('latin1').replaceAll('"F32"', '"I32"')
    await writeFile(path, text, 'latin1')
    await refuses(folder, { code: 'unsupported-model', ...matching(/F32, F16, BF16, received I32 of .*, I32 of /) })
  })

  it.each([
    [F32, { num_hidden_layers: 0 }, /num_hidden_layers.*from 1 to 512, received 0/],
    [F32, { num_hidden_layers: 1e9 }, /num_hidden_layers.*1000000000/],
    [F32, { vocab_size: 16_777_216 }, /vocab_size.*1048576/],
    [F32, { num_attention_heads: 3 }, /hidden_size.*multiple of num_attention_heads/],
    [F32, { hidden_size: 40 * 2 ** 20 }, /of another shape/],
    [T5, { num_layers: 0 }, /num_layers/],
    [T5, { num_heads: 5 }, /of another shape/],
    [T5, { relative_attention_num_buckets: 31 }, /of another shape: .*relative_attention_bias/],
  ] as [FolderName, Record<string, unknown>, RegExp][])(
    '%s with %j does not convert',
    async (name, config, message) => {
      await refuses(await changedFolder(directory, name, { config }), { code: 'invalid-file', ...matching(message) })
    },
  )

  it.each([
    ['nested without end', `{"hidden_size":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /not JSON.*128 levels/],
    ['of values without end', `{"a":[${'{},'.repeat(9_000_000)}0]}`, /not JSON.*8388608 values/],
    ['with a byte order mark', '\uFEFF{}', /not JSON/],
    [
      'of a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['of a web page', '<!DOCTYPE html><html>', /a web page/],
    ['of nothing', '', /an empty file/],
    ['of zeros', '\0'.repeat(100), /nothing but zeros/],
  ])('%s says so', async (_, text, message) => {
    const folder = await changedFolder(directory, F32)
    for (const file of ['config.json', 'tokenizer.json']) {
      const before = await readFile(join(folder, file))
      await writeFile(join(folder, file), text)
      await refuses(folder, {
        code: 'invalid-file',
        ...matching(message),
        ...matching(new RegExp(`^${file.replace('.', '\\.')}`)),
      })
      await writeFile(join(folder, file), before)
    }
    await convert(folder, { output })
  })
})

describe('a tokenizer', () => {
  interface TokenizerFile {
    added_tokens: { id: number; content: string }[]
    model: { vocab: Record<string, number>; merges: unknown[] }
    [key: string]: unknown
  }

  async function withTokenizer(change: (file: TokenizerFile) => unknown): Promise<string> {
    const folder = await changedFolder(directory, F32)
    const path = join(folder, 'tokenizer.json')
    const file = JSON.parse(await readFile(path, 'utf8')) as TokenizerFile
    await writeFile(path, JSON.stringify(change(file) ?? file))
    return folder
  }

  it.each<[string, (file: TokenizerFile) => unknown, RegExp]>([
    [
      'that would not end',
      (file) => ({
        ...file,
        pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false },
      }),
      /exponential time/,
    ],
    ['with a merge of an absent token', ({ model }) => void model.merges.push(['zz', 'qq']), /absent.*"zzqq"/],
    ['with one id twice', ({ model }) => void Object.assign(model.vocab, { extra: 5 }), /id 5 twice|more tokens/],
    ['with an id that is none', ({ model }) => void Object.assign(model.vocab, { extra: -1 }), /tokenizer\.json/],
    [
      'with more tokens than the model',
      ({ model }) =>
        void Object.assign(
          model.vocab,
          Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`more${i}`, 1000 + i])),
        ),
      /more tokens than the model: expected at most \d+, the vocab_size of config\.json, received \d+/,
    ],
    [
      'with a token beyond the model',
      ({ model }) => void Object.assign(model.vocab, { [Object.keys(model.vocab)[0] ?? '']: 9000 }),
      /has a token that the model does not have.*received 9000/,
    ],
    [
      'that would end the process',
      (file) => ({ ...file, decoder: { type: 'Strip', content: ' ', start: 0, stop: 1 } }),
      /Strip/,
    ],
    ['nested without end', (file) => ({ ...file, pre_tokenizer: nested(100) }), /tokenizer\.json/],
  ])('%s does not convert', async (_, change, message) => {
    await refuses(await withTokenizer(change), { code: 'invalid-file', ...matching(message) })
  })

  function nested(depth: number): unknown {
    let step: unknown = null
    for (let i = 0; i < depth; i++) step = { type: 'Sequence', pretokenizers: [step] }
    return step
  }

  it('whose config adds tokens that the model has no rows for does not convert', async () => {
    const folder = await changedFolder(directory, F32)
    const additional_special_tokens = Array.from({ length: 300 }, (_, i) => `<more ${i}>`)
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ additional_special_tokens }))
    await refuses(folder, { code: 'invalid-file', ...matching(/more tokens than the model/) })
  })

  it('with fewer tokens than the model has rows converts, and the report says so', async () => {
    const folder = await withTokenizer(({ model }) => {
      const [last] = Object.entries(model.vocab).sort(([, a], [, b]) => b - a)
      model.merges = []
      delete model.vocab[last?.[0] ?? '']
    })
    const { warnings } = await convert(folder, { output })
    expect(warnings).toEqual([expect.stringMatching(/^1 of the 325 rows of the embedding have no token/)])
    const tokens = (await readGguf(output)).metadata.get('tokenizer.ggml.tokens')?.value
    expect(tokens).toEqual(expect.arrayContaining([expect.stringMatching(/^\[PAD\d+\]$/)]))
  })
})

describe('a text file', () => {
  it.each(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'])(
    'that is too large, a pipe or a folder is refused: %s',
    async (name) => {
      const folder = await changedFolder(directory, F32)
      const path = join(folder, name)
      await rm(path, { force: true })
      await (await open(path, 'w')).close()
      await truncate(path, 200e6)
      await refuses(folder, { code: 'invalid-file', expected: 'at most 134217728 bytes', received: '200000000' })
      await rm(path)
      await mkdir(path)
      await refuses(folder, { code: 'invalid-file', received: 'a directory' })
      await rm(path, { recursive: true })
      if (process.platform === 'win32') return
      execFileSync('mkfifo', [path])
      await refuses(folder, { code: 'invalid-file', received: 'a device or a pipe' })
      const reading = readTokenizer({ kind: 'folder', path: folder, name: 'x' })
      if (name.startsWith('tokenizer')) await expect(reading).rejects.toMatchObject({ code: 'invalid-file' })
      else await reading
    },
  )
})

describe('special tokens', () => {
  it('that the model does not have are said', async () => {
    const folder = await changedFolder(directory, F32, { config: { eos_token_id: [1, 99_999], pad_token_id: -1 } })
    await writeFile(
      join(folder, 'generation_config.json'),
      JSON.stringify({ bos_token_id: 2 ** 40, eos_token_id: null }),
    )
    const { warnings } = await convert(folder, { output })
    expect(warnings).toEqual([
      'eos_token_id 99999 of config.json is no token of the model, which has 325: nothing will match it',
      `bos_token_id ${2 ** 40} of generation_config.json is no token of the model, which has 325: nothing will match it`,
    ])
  })

  it.each(['config.json', 'generation_config.json'])(
    'with which no decoder can start are refused: %s',
    async (file) => {
      const folder = await changedFolder(directory, T5)
      const path = join(folder, file)
      const given = await readFile(path, 'utf8').catch(() => '{}')
      await writeFile(path, JSON.stringify({ ...(JSON.parse(given) as object), decoder_start_token_id: 99_999 }))
      await refuses(folder, { code: 'invalid-file', ...matching(/decoder_start_token_id.*received 99999/) })
    },
  )
})
