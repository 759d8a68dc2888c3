import { mkdtemp, rm, stat } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convert, type Quantization } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { GGML_TYPES, type WrittenType } from '../../src/formats/gguf/types.ts'
import { CausalDecoder } from '../../src/generation/causal.ts'
import { Seq2SeqDecoder } from '../../src/generation/seq2seq.ts'
import { loadNative } from '../../src/native/library.ts'
import { openEngine } from '../../src/native/model.ts'
import { divergence, forced } from '../generation/divergence.ts'
import { makeFolder } from '../golden/convert-folder.ts'
import { fillHashWeights } from '../golden/hash-weights.ts'
import { quantizedModels } from '../golden/quantized-models.ts'

const { convertRows } = loadNative()
const ROW = 1024
const threads = availableParallelism()

/** Rows of values evenly spread within ±1/8. */
function uniform(rows: number): Float32Array {
  const values = new Float32Array(rows * ROW)
  fillHashWeights(values, 'uniform', 0, { bits: 24, exponent: -3, offset: 0 })
  return values
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer)
const from = (type: WrittenType) => ({ from: GGML_TYPES[type], to: GGML_TYPES.f32, rowLength: ROW, threads })
const to = (type: WrittenType) => ({ from: GGML_TYPES.f32, to: GGML_TYPES[type], rowLength: ROW, threads })

describe('rows', () => {
  // Measured; where a type is a plain grid theory says nearly the same: half a step over the square root of 3, relative
  // to values that are themselves spread evenly, is 1/255 for q8_0 and 1/15 for q4_1.
  const ERRORS: [WrittenType, number][] = [
    ['f16', 1.85e-4],
    ['bf16', 1.47e-3],
    ['q8_0', 3.76e-3],
    ['q4_0', 6.48e-2],
    ['q4_1', 6.05e-2],
    ['q5_0', 3.11e-2],
    ['q5_1', 2.93e-2],
    ['q2_k', 2.32e-1],
    ['q3_k', 1.25e-1],
    ['q4_k', 5.44e-2],
    ['q5_k', 2.76e-2],
    ['q6_k', 1.32e-2],
    ['iq4_nl', 6.4e-2],
    ['iq4_xs', 6.46e-2],
    ['mxfp4', 1.43e-1],
  ]

  /** ggml's `quantize_row_q8_0_ref`: the scale in single precision, its inverse, and `roundf`. */
  function q8_0(block: Float32Array): number[] {
    const scale = Math.fround(block.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    return [...block].map((value) => {
      const quantized = Math.fround(value * inverse)
      return Math.sign(quantized) * Math.floor(Math.abs(quantized) + 0.5)
    })
  }

  async function halves(values: Float32Array): Promise<Uint16Array> {
    return new Uint16Array((await convertRows(bytesOf(values), to('f16'))).slice().buffer)
  }

  it.each([
    ['halves, which go away from zero', (i: number) => (i === 0 ? 127 : i - 16.5)],
    [
      'the numbers before and after a half',
      (i: number) => (i === 0 ? 127 : (i - 16.5) * (1 + ((i % 3) - 1) * 2 ** -23)),
    ],
    ['the number before 0.5, which is no half', (i: number) => (i === 0 ? 127 : 0.5 - 2 ** -25)],
    ['zeros', () => 0],
    ['small numbers', (i: number) => (i - 15.3) * 1e-30],
    ['numbers just below halves', (i: number) => (i === 0 ? 127 : (i - 16.5) * (1 - 2 ** -24))],
    ['the largest that there are', (i: number) => (i % 2 === 0 ? 65504 : -65504) * Math.cos(i)],
    ['any', (i: number) => Math.sin(i * i) / (1 + (i % 7))],
  ])('in q8_0 are what its definition makes of %s', async (_, valueAt) => {
    const values = Float32Array.from({ length: ROW }, (_, i) => valueAt(i % 32) * (i < 512 ? 1 : -1))
    const packed = await convertRows(bytesOf(values), to('q8_0'))
    const view = new DataView(packed.buffer, packed.byteOffset)
    for (let block = 0; block < ROW / 32; block++) {
      const largest = values
        .subarray(block * 32, block * 32 + 32)
        .reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const [half] = await halves(Float32Array.of(largest / 127, ...new Array<number>(ROW - 1).fill(0)))
      expect(view.getUint16(block * 34, true)).toBe(half)
      const found = [...new Int8Array(packed.buffer, packed.byteOffset + block * 34 + 2, 32)]
      expect(found).toEqual(q8_0(values.subarray(block * 32, block * 32 + 32)).map((value) => value + 0))
    }
  })

  it.each(ERRORS)('in %s come back with a relative error of %d', async (type, expected) => {
    const values = uniform(64)
    const packed = await convertRows(bytesOf(values), to(type))
    const restored = new Float32Array((await convertRows(packed, from(type))).slice().buffer)
    const squares = (list: Float32Array) => list.reduce((sum, value) => sum + value * value, 0)
    const error = Math.sqrt(squares(restored.map((value, i) => value - (values[i] ?? 0))) / squares(values))
    expect(error / expected).toBeGreaterThan(0.97)
    expect(error / expected).toBeLessThan(1.03)
  })

  it('are the same whatever the number of threads', async () => {
    const values = bytesOf(uniform(100))
    const [one, ...others] = await Promise.all(
      [1, 2, 3, 200].map((count) => convertRows(values, { ...to('q4_k'), threads: count })),
    )
    for (const other of others) expect(Buffer.from(other).equals(one ?? Buffer.alloc(0))).toBe(true)
  })

  it.each([
    ['NaN', Number.NaN, 'bf16'],
    ['infinity', Number.POSITIVE_INFINITY, 'f16'],
    ['more than half precision holds', -70_000, 'q8_0'],
  ] as const)('with %s are refused', async (_, value, type) => {
    const values = uniform(100)
    values[77_777] = value
    await expect(convertRows(bytesOf(values), to(type))).rejects.toMatchObject({
      code: 'invalid-file',
      message: expect.stringContaining(type),
    })
  })

  it('of a large value are no matter for bf16', async () => {
    const values = uniform(1).fill(70_144)
    expect(await convertRows(await convertRows(bytesOf(values), to('bf16')), from('bf16'))).toEqual(bytesOf(values))
  })

  it.each([
    ['an unknown type', { from: 4 }],
    ['a number that is no type', { from: 43 }],
    ['a negative type', { to: -1 }],
    ['integers', { from: 26 }],
    ['a type that no engine computes with', { to: 16 }],
    ['a row that is no whole number of blocks', { rowLength: 128 }],
    ['a row of 0', { rowLength: 0 }],
    ['bytes that are no whole number of rows', { rowLength: 768 }],
    ['no thread', { threads: 0 }],
  ])('of %s are refused', (_, change) => {
    expect(() => convertRows(bytesOf(uniform(1)), { ...to('q4_k'), ...change })).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    )
  })

  it('leave the JavaScript thread and the threads of file access free', async () => {
    // A second or more of one core's work, more calls than libuv has threads.
    const values = bytesOf(uniform(256))
    let done = 0
    const pending = Array.from({ length: 8 }, async () => {
      await convertRows(values, { ...to('iq4_nl'), threads: 1 })
      done++
    })
    let turns = 0
    for (; turns < 10 && done === 0; turns++) await Promise.all([setImmediate(), stat('.')])
    expect(turns).toBe(10)
    await Promise.all(pending)
    expect(done).toBe(8)
  })
})

describe('a model computes in every type, near to f32', () => {
  // The mean divergence over nine steps, measured; a bound of twice as much holds.
  const DIVERGENCES: Record<string, Partial<Record<Quantization, number>>> = {
    'qwen2-rows-of-256': {
      f16: 1.6e-6,
      bf16: 4.5e-5,
      q8_0: 8.4e-4,
      q4_0: 8.6e-2,
      q4_1: 6.8e-2,
      q5_0: 2.4e-2,
      q5_1: 2.7e-2,
      q2_k: 7e-1,
      q3_k: 3e-1,
      q4_k: 7.3e-2,
      q5_k: 2.1e-2,
      q6_k: 4.7e-3,
      iq4_nl: 7.8e-2,
      iq4_xs: 7.9e-2,
      mxfp4: 2.5e-1,
      q2_k_m: 3.4e-1,
      q3_k_s: 2e-1,
      q3_k_m: 9.3e-2,
      q3_k_l: 7.7e-2,
      q4_k_s: 4.1e-2,
      q4_k_m: 3.7e-2,
      q5_k_s: 1.8e-2,
      q5_k_m: 1.5e-2,
    },
    't5-fallbacks': {
      f16: 2.5e-9,
      bf16: 5e-7,
      q8_0: 4.6e-6,
      q4_0: 2.9e-4,
      q4_1: 3.8e-4,
      q5_0: 8.5e-5,
      q5_1: 3.8e-4,
      q2_k: 2.3e-3,
      q3_k: 1.1e-3,
      q4_k: 2.9e-4,
      q5_k: 1e-4,
      q6_k: 5.5e-5,
      iq4_nl: 3e-4,
      iq4_xs: 3.1e-4,
      mxfp4: 1.2e-3,
    },
  }
  const INPUT = [9, 30, 51, 7, 100, 44, 3, 250]

  describe.each(Object.entries(DIVERGENCES))('%s', (name, divergences) => {
    let directory: string
    let folder: string
    let reference: (Float32Array | undefined)[]
    beforeAll(async () => {
      const model = quantizedModels()[name]
      if (model === undefined) throw new Error(`${name} is not in the golden file`)
      directory = await mkdtemp(join(tmpdir(), 'tandem-types-'))
      folder = await makeFolder(join(directory, 'model'), model.folder)
      reference = await distributions('f32')
    })
    afterAll(async () => rm(directory, { recursive: true, force: true }))

    async function distributions(quantization: Quantization): Promise<(Float32Array | undefined)[]> {
      const path = join(directory, `${quantization}.gguf`)
      await convert(folder, { output: path, quantization })
      const engine = await openEngine(await readGguf(path), path, { device: 'cpu', threads: 1 })
      try {
        const decoder = name.startsWith('t5') ? new Seq2SeqDecoder(engine, 0) : new CausalDecoder(engine)
        return (await forced(decoder, INPUT, [...INPUT, 0])).map(({ logits }) => logits)
      } finally {
        await engine.dispose()
      }
    }

    it.each(Object.entries(divergences))('%s', async (quantization, expected) => {
      const rows = await distributions(quantization as Quantization)
      expect(rows).toHaveLength(INPUT.length + 1)
      const mean = rows.reduce((sum, row, i) => sum + divergence(reference[i], row), 0) / rows.length
      expect(mean).toBeGreaterThan(0)
      expect(mean).toBeLessThan(2 * expected)
    })
  })
})
