import { mkdtemp, open as openFile, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { convert, type Quantization } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import type { GgufTensor } from '../../src/formats/gguf/types.ts'
import { writeGguf } from '../../src/formats/gguf/write.ts'
import { loadNative } from '../../src/native/library.ts'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { type LoadOptions, load } from '../../src/runtime/load.ts'
import { divergence, forced } from '../generation/divergence.ts'
import { type RealShape, writeShapeFolder } from '../golden/shape-folder.ts'
import { remembered } from './remembered.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Of the prompts; one with sanitizers takes ten times as long, and they do not look at how near it is. */
const STRIDE = process.env['TANDEM_SANITIZED'] === undefined ? 5 : 25
const GREEDY = { doSample: false, repetitionPenalty: 1 }

/** What f32 answers to a prompt, and its distributions along the answer. */
interface Reference {
  inputIds: number[]
  ids: number[]
  rows: Float32Array[]
}

let folder = ''
const references: Reference[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-t5-kernels-'))
  for (const quantization of ['f32', 'q8_0', 'q4_0'] as const) {
    await convert(join(root, 'models/nano-chatlm'), { output: join(folder, `${quantization}.gguf`), quantization })
  }
  const lines = (await readFile(join(root, 'scripts/train/heldout.jsonl'), 'utf8')).trim().split('\n')
  await using model = await load(join(folder, 'f32.gguf'), { device: 'cpu' })
  for (const line of lines.filter((_, i) => i % STRIDE === 0)) {
    const { prompt } = JSON.parse(line) as { prompt: string }
    const { inputIds, ids } = await model.generate(prompt, GREEDY)
    references.push({ inputIds, ids, rows: await distributions(model, inputIds, ids) })
  }
  await convertWide(['f32', 'q8_0', ...NARROW_TYPES])
  await writeMixed()
}, 300_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

async function distributions(model: LanguageModel, inputIds: number[], ids: number[]): Promise<Float32Array[]> {
  return (await forced(model.decoder, inputIds, ids)).map(({ logits }) => logits ?? new Float32Array())
}

async function open(kernels: string, options: LoadOptions = {}, type = 'q8_0'): Promise<LanguageModel> {
  const before = process.env['TANDEM_KERNELS']
  process.env['TANDEM_KERNELS'] = kernels
  try {
    return await load(join(folder, `${type}.gguf`), { device: 'cpu', ...options })
  } finally {
    if (before === undefined) delete process.env['TANDEM_KERNELS']
    else process.env['TANDEM_KERNELS'] = before
  }
}

/** Root mean square of the logits' distance from f32, mean KL in nats, and how many answers are f32's. */
async function nearness(kernels: string, type = 'q8_0') {
  await using model = await open(kernels, {}, type)
  let [squares, logits, kl, rows, same] = [0, 0, 0, 0, 0]
  for (const { inputIds, ids, rows: expected } of references) {
    same += String((await model.generate({ inputIds }, GREEDY)).ids) === String(ids) ? 1 : 0
    const found = await distributions(model, inputIds, ids)
    for (const [at, row] of expected.entries()) {
      kl += divergence(row, found[at])
      squares += row.reduce((sum, value, id) => sum + (value - (found[at]?.[id] ?? Number.NaN)) ** 2, 0)
      logits += row.length
      rows++
    }
  }
  return { rootMeanSquare: Math.sqrt(squares / logits), kl: kl / rows, same }
}

/** What ggml computes is the same whichever kernels it is compared with. */
const nearnessOfGgml = remembered((type: string) => nearness('ggml', type))

/** A model of two layers whose rows hold super-blocks, which those of nano-chatlm are too short for. */
async function convertWide(types: readonly Quantization[]): Promise<void> {
  const shape = JSON.parse(await readFile(join(root, 'test/golden/real-shapes/chatlm.json'), 'utf8')) as RealShape
  const sizes = new Map([
    [768, 256],
    [3072, 512],
    [29298, 4224],
    [12, 4],
  ])
  const file = join(folder, 'wide.json')
  const smaller = (size: number) => sizes.get(size) ?? size
  const config = { d_model: 256, d_ff: 512, num_heads: 4, vocab_size: 4224, num_layers: 2, num_decoder_layers: 2 }
  const tensors = shape.tensors
    .filter(({ name }) => Number(/block\.(\d+)/.exec(name)?.[1] ?? 0) < 2)
    .map((tensor) => ({ ...tensor, shape: tensor.shape.map(smaller) }))
  await writeFile(file, JSON.stringify({ ...shape, config: { ...shape.config, ...config }, tensors }))
  await writeShapeFolder(join(folder, 'wide'), { shape: file, tokenizer: join(root, 'models/nano-chatlm') })
  for (const quantization of types) {
    await convert(join(folder, 'wide'), { output: join(folder, `wide-${quantization}.gguf`), quantization })
  }
}

const NARROW_TYPES = ['q4_1', 'q5_0', 'q5_1', 'q4_k', 'q5_k', 'q6_k'] as const

/** The file of one type with some tensors of that of another, as whoever mixes types by their importance makes them. */
async function writeMixed(): Promise<void> {
  const pathOf = (quantization: string) => join(folder, `wide-${quantization}.gguf`)
  const [narrow, wide] = [await readGguf(pathOf('q4_k')), await readGguf(pathOf('q8_0'))]
  const isWide = ({ name }: GgufTensor) => name.endsWith('attn_q.weight')
  const tensors = narrow.tensors.map((tensor) =>
    isWide(tensor) ? (wide.tensors.find(({ name }) => name === tensor.name) ?? tensor) : tensor,
  )
  await using narrowFile = await openFile(pathOf('q4_k'))
  await using wideFile = await openFile(pathOf('q8_0'))
  const data = async function* (tensor: GgufTensor) {
    const file = isWide(tensor) ? wideFile : narrowFile
    yield (await file.read(new Uint8Array(tensor.size), 0, tensor.size, tensor.offset)).buffer
  }
  await writeGguf(pathOf('mixed'), { metadata: narrow.metadata, tensors }, { data })
}

async function wideRows(kernels: string, type: string, threads = 1): Promise<Float32Array[]> {
  const inputIds = Array.from({ length: 70 }, (_, i) => 7 + ((i * 37) % 4000))
  const ids = Array.from({ length: 12 }, (_, i) => 9 + ((i * 53) % 4000))
  await using model = await open(kernels, { threads }, `wide-${type}`)
  return await distributions(model, inputIds, ids)
}
const wideRowsOfGgml = remembered((type: string) => wideRows('ggml', type))

describe.each(loadNative().kernels())('a wide model with %s', (kernels) => {
  test.each([...NARROW_TYPES, 'mixed'])('in %s: as near to f32 as with ggml, alone and beside others', async (type) => {
    const expected = await wideRowsOfGgml('f32')
    const distance = (rows: Float32Array[]) =>
      Math.hypot(
        ...expected.map((row, i) => Math.hypot(...row.map((value, id) => value - (rows[i]?.[id] ?? Number.NaN)))),
      )
    const ours = await wideRows(kernels, type)
    const ggml = await wideRowsOfGgml(type)
    expect(distance(ours)).toBeLessThanOrEqual(1.1 * distance(ggml))
    expect(distance(ours)).not.toBe(distance(ggml))
    expect(await wideRows(kernels, type, 2)).toEqual(ours)
  })
})

describe.each(loadNative().kernels())('nano-chatlm with %s', (kernels) => {
  test('in q8_0: the answers of f32 to prompts it has never seen, as near to them as with ggml', {
    timeout: 300_000,
  }, async () => {
    const ours = await nearness(kernels)
    const ggml = await nearnessOfGgml('q8_0')
    console.log(`${kernels}: ${JSON.stringify(ours)}, ggml: ${JSON.stringify(ggml)}, of ${references.length} prompts`)
    expect(ours.rootMeanSquare).toBeLessThanOrEqual(1.1 * ggml.rootMeanSquare)
    expect(ours.kl).toBeLessThanOrEqual(1e-3)
    expect(ours.same).toBe(references.length)
  })

  test('in q4_0: as near to f32 as with ggml', { timeout: 300_000 }, async () => {
    const ours = await nearness(kernels, 'q4_0')
    const ggml = await nearnessOfGgml('q4_0')
    console.log(`${kernels}: ${JSON.stringify(ours)}, ggml: ${JSON.stringify(ggml)}, of ${references.length} prompts`)
    expect(ours.rootMeanSquare).toBeLessThanOrEqual(1.1 * ggml.rootMeanSquare)
    expect(ours.kl).toBeLessThanOrEqual(1.1 * ggml.kl)
    // Both differ from f32 in some answers, and not always in the same ones.
    expect(ours.same).toBeGreaterThanOrEqual(ggml.same - references.length / 50)
    expect(ours.rootMeanSquare).not.toBe(ggml.rootMeanSquare)
  })

  test.each(['f16', 'f32'] as const)('rows of several requests, reordered, with %s keys and values', async (kvType) => {
    await using model = await open(kernels, { kvType, threads: 2 })
    await using ggml = await open('ggml', { kvType, threads: 2 })
    const run = async ({ decoder }: LanguageModel) => {
      const [first, second] = await Promise.all(
        [references[0], references[1]].map((reference) => {
          const inputIds = reference?.inputIds ?? []
          // The last two tokens are padding to the encoder.
          const attentionMask = inputIds.map((_, i) => (i < inputIds.length - 2 ? 1 : 0))
          return decoder.start({ inputIds, attentionMask })
        }),
      )
      if (first === undefined || second === undefined) throw new Error('two prompts were asked for')
      const rows: Float32Array[] = []
      const step = async (state: typeof first, tokens: number[][]) => {
        for (const { logits } of await decoder.step(state, tokens, { candidates: 1, logits: true })) {
          rows.push(logits ?? new Float32Array())
        }
      }
      await Promise.all([step(first, [[...first.promptIds]]), step(second, [[...second.promptIds, 9, 8, 7]])])
      decoder.reorder(first, new Array<number>(20).fill(0)) // more than a kernel takes at once
      await step(
        first,
        Array.from({ length: 20 }, (_, i) => [20 + i]),
      )
      decoder.reorder(first, [19, 3, 3])
      await step(first, [[5], [6], [7]])
      await Promise.all([decoder.dispose(first), decoder.dispose(second)])
      return rows
    }
    const [found, expected] = [await run(model), await run(ggml)]
    expect(found).toHaveLength(25)
    // The model would never say these tokens, and a rounding moves what it says next by up to 1e-2.
    const divergences = expected.map((row, i) => divergence(row, found[i]))
    expect(Math.max(...divergences)).toBeLessThan(0.05)
    expect(divergences.reduce((sum, value) => sum + value, 0) / divergences.length).toBeLessThan(5e-3)
    // A wrong cell or source would leave a row as far from its own as it is from the others.
    expect(divergence(expected[4], found[5])).toBeGreaterThan(0.1)
  })

  test('a step gives the same to the last bit with the graph of the step before and with its own', async () => {
    await using model = await open(kernels, { threads: 2 })
    const { decoder } = model
    const start = async (place: number) => {
      const inputIds = references[place]?.inputIds ?? []
      return decoder.start({ inputIds, attentionMask: inputIds.map(() => 1) })
    }
    type State = Awaited<ReturnType<typeof start>>
    const read = async (state: State, ids: number[]) => {
      const [row] = await decoder.step(state, [ids], { candidates: 1, logits: true })
      return row?.logits?.slice()
    }
    const tokens = Array.from({ length: 70 }, (_, i) => (i === 0 ? 0 : 5 + ((i * 37) % 4000)))
    /** After the first `length` tokens, all read at once. */
    const atOnce = async (place: number, length: number) => {
      const state = await start(place)
      try {
        return await read(state, tokens.slice(0, length))
      } finally {
        await decoder.dispose(state)
      }
    }
    const one = await start(0)
    const found: (Float32Array | undefined)[] = []
    let other: State | undefined
    for (const [i, token] of tokens.entries()) {
      found.push(await read(one, [token]))
      // Another source reads some tokens, and a third comes when it has gone.
      if (i === 40) other = await start(1)
      if (other !== undefined && i > 42 && i < 46) expect(await read(other, tokens.slice(0, 1))).toBeDefined()
      if (i === 50 && other !== undefined) {
        await decoder.dispose(other)
        other = await start(2)
        expect(await read(other, tokens.slice(0, 3))).toEqual(await atOnce(2, 3))
      }
    }
    if (other !== undefined) await decoder.dispose(other)
    for (const length of [1, 2, 31, 32, 33, 44, 52, 64, 65, 70]) {
      expect(found[length - 1], `after ${length} tokens`).toEqual(await atOnce(0, length))
    }
    await decoder.dispose(one)
  })
})
