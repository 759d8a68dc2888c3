import { describe, expect, test } from 'vitest'
import { GGML_TYPES } from '../../src/formats/gguf/types.ts'
import { chooseKernels } from '../../src/native/kernels.ts'
import { loadNative } from '../../src/native/library.ts'

const native = loadNative()
const PACKED = native.kernels()
const BLOCK = 32
/** Inputs of a block in the file, and its bytes. */
const FILE_BLOCKS = {
  q8_0: [32, 34],
  q4_0: [32, 18],
  q4_1: [32, 20],
  q5_0: [32, 22],
  q5_1: [32, 24],
  q4_k: [256, 144],
  q5_k: [256, 176],
  q6_k: [256, 210],
} as const
type Type = keyof typeof FILE_BLOCKS
/** Half precision of 2⁻⁷, a scale of weights. */
const SCALE_BITS = 0x2000
const SCALE = 2 ** -7
/** Of 2⁻¹¹, which types with super-blocks multiply by whole numbers. */
const SMALL_SCALE_BITS = 0x1000
const SMALL_SCALE = 2 ** -11

/** Of -2⁻⁴, eight scales: what the smallest weight of a block is. */
const MINIMUM_BITS = 0xac00
const MINIMUM = 2 ** -4

interface Problem {
  inputs: number
  outputs: number
  rows: number
  /** From -128 to 127; of four to six bits the upper ones count. */
  weight(random: () => number): number
  activation(random: () => number, index: number): number
}

/** A generator of even numbers in [-1, 1) (mulberry32). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

const EVEN: Pick<Problem, 'weight' | 'activation'> = {
  weight: (random) => Math.floor(random() * 128),
  activation: (random) => random() * 3,
}

/** Writes the `index`th weight of a matrix, `value` or as much of it as the type keeps; the numbers that it is a difference of. */
type WriteWeight = (bytes: Buffer, index: number, value: number) => [number, number]

const WRITE_WEIGHT: Record<Type, WriteWeight> = {
  q8_0(bytes, index, value) {
    const block = Math.floor(index / BLOCK) * FILE_BLOCKS.q8_0[1]
    bytes.writeUInt16LE(SCALE_BITS, block)
    bytes.writeInt8(value, block + 2 + (index % BLOCK))
    return [value * SCALE, 0]
  },
  q4_0(bytes, index, value) {
    const block = Math.floor(index / BLOCK) * FILE_BLOCKS.q4_0[1]
    const at = index % BLOCK
    bytes.writeUInt16LE(SCALE_BITS, block)
    setBits(bytes, block + 2 + (at % 16), at < 16 ? 0 : 4, (value >> 4) + 8)
    return [(value >> 4) * SCALE, 0]
  },
  q4_1(bytes, index, value) {
    const block = Math.floor(index / BLOCK) * FILE_BLOCKS.q4_1[1]
    const at = index % BLOCK
    bytes.writeUInt16LE(SCALE_BITS, block)
    bytes.writeUInt16LE(MINIMUM_BITS, block + 2)
    setBits(bytes, block + 4 + (at % 16), at < 16 ? 0 : 4, (value >> 4) + 8)
    return [((value >> 4) + 8) * SCALE, MINIMUM]
  },
  q5_0(bytes, index, value) {
    const block = Math.floor(index / BLOCK) * FILE_BLOCKS.q5_0[1]
    bytes.writeUInt16LE(SCALE_BITS, block)
    setFiveBits(bytes.subarray(block + 2), index % BLOCK, (value >> 3) + 16)
    return [(value >> 3) * SCALE, 0]
  },
  q5_1(bytes, index, value) {
    const block = Math.floor(index / BLOCK) * FILE_BLOCKS.q5_1[1]
    bytes.writeUInt16LE(SCALE_BITS, block)
    bytes.writeUInt16LE(MINIMUM_BITS, block + 2)
    setFiveBits(bytes.subarray(block + 4), index % BLOCK, (value >> 3) + 16)
    return [((value >> 3) + 16) * SCALE, MINIMUM]
  },
  q4_k(bytes, index, value) {
    const [block, eighth] = [Math.floor(index / 256) * FILE_BLOCKS.q4_k[1], Math.floor((index % 256) / BLOCK)]
    // Seven and a half scales: the weights lie on both sides of zero, as those of models do.
    const [scale, minimum] = writeSuperblock(bytes.subarray(block), index, 15 / 16)
    setBits(bytes, block + 16 + (eighth >> 1) * BLOCK + (index % BLOCK), eighth % 2 === 0 ? 0 : 4, (value >> 4) + 8)
    return [((value >> 4) + 8) * scale, minimum]
  },
  q5_k(bytes, index, value) {
    const [block, eighth] = [Math.floor(index / 256) * FILE_BLOCKS.q5_k[1], Math.floor((index % 256) / BLOCK)]
    const bits = (value >> 3) + 16
    const [scale, minimum] = writeSuperblock(bytes.subarray(block), index, 31 / 16)
    setBits(bytes, block + 16 + (index % BLOCK), eighth, bits >> 4)
    setBits(bytes, block + 48 + (eighth >> 1) * BLOCK + (index % BLOCK), eighth % 2 === 0 ? 0 : 4, bits & 15)
    return [bits * scale, minimum]
  },
  q6_k(bytes, index, value) {
    const block = Math.floor(index / 256) * FILE_BLOCKS.q6_k[1]
    const half = Math.floor((index % 256) / 128)
    const [quarter, at] = [Math.floor((index % 128) / BLOCK), index % BLOCK]
    const scale = ((Math.floor(index / 16) * 29 + 35) % 64) - 32
    const bits = (value >> 2) + 32
    bytes.writeUInt16LE(SMALL_SCALE_BITS, block + 208)
    bytes.writeInt8(scale, block + 192 + Math.floor((index % 256) / 16))
    setBits(bytes, block + half * 64 + (quarter % 2) * BLOCK + at, quarter < 2 ? 0 : 4, bits & 15)
    setBits(bytes, block + 128 + half * BLOCK + at, 2 * quarter, bits >> 4)
    return [(bits - 32) * scale * SMALL_SCALE, 0]
  },
}

/** The factors, and a scale and `minimums` times as many as a minimum for the block of the `index`th weight; what they stand for. */
function writeSuperblock(superblock: Buffer, index: number, minimums: number): [number, number] {
  superblock.writeUInt16LE(SMALL_SCALE_BITS, 0)
  superblock.writeUInt16LE(SCALE_BITS - 0x400, 2)
  const scale = (Math.floor(index / BLOCK) * 29 + 35) % (minimums < 1 ? 64 : 32)
  const minimum = Math.round(scale * minimums)
  setScales(superblock.subarray(4), Math.floor((index % 256) / BLOCK), scale, minimum)
  return [scale * SMALL_SCALE, (minimum * SCALE) / 2]
}

function fill({ inputs, outputs, rows, weight, activation }: Problem, type: Type) {
  const random = generator(inputs * 31 + outputs * 7 + rows)
  const [blockInputs, blockBytes] = FILE_BLOCKS[type]
  const bytes = Buffer.alloc((outputs * inputs * blockBytes) / blockInputs)
  const weights = new Float64Array(outputs * inputs)
  const sizes = new Float64Array(outputs * inputs)
  for (let i = 0; i < weights.length; i++) {
    const [value, minimum] = WRITE_WEIGHT[type](bytes, i, weight(random))
    weights[i] = value - minimum
    sizes[i] = Math.abs(value) + minimum
  }
  const activations = Float32Array.from({ length: rows * inputs }, (_, i) => activation(random, i))
  return { bytes: new Uint8Array(bytes), weights, sizes, activations, type }
}

function setBits(bytes: Buffer, at: number, shift: number, bits: number): void {
  bytes[at] = (bytes[at] ?? 0) | (bits << shift)
}

/** The upper bit of one of the 32 inputs of a block, and behind those of all of them the lower four. */
function setFiveBits(block: Buffer, at: number, bits: number): void {
  setBits(block, at >> 3, at % 8, bits >> 4)
  setBits(block, 4 + (at % 16), at < 16 ? 0 : 4, bits & 15)
}

/** The 6 bits of both for one of the eight blocks of 32 inputs, as ggml's q4_K and q5_K have them. */
function setScales(bytes: Buffer, eighth: number, scale: number, minimum: number): void {
  if (eighth < 4) {
    setBits(bytes, eighth, 0, scale)
    setBits(bytes, eighth + 4, 0, minimum)
  } else {
    setBits(bytes, eighth + 4, 0, (scale & 15) | ((minimum & 15) << 4))
    setBits(bytes, eighth - 4, 6, scale >> 4)
    setBits(bytes, eighth, 6, minimum >> 4)
  }
}

type Filled = ReturnType<typeof fill>

function multiply({ bytes, activations, type }: Filled, kernels: string, inputs: number, threads = 2) {
  return native.multiplyMatrix(bytes, activations, { inputs, type: GGML_TYPES[type], kernels, threads })
}

/** The products in double precision, and how far rounding the activations to 8 bits a block may move each. */
function exact({ weights, sizes, activations }: Filled, { inputs, outputs, rows }: Problem) {
  const products = new Float64Array(rows * outputs)
  const bounds = new Float64Array(rows * outputs)
  for (let at = 0; at < products.length; at++) {
    const row = activations.subarray(Math.floor(at / outputs) * inputs, (Math.floor(at / outputs) + 1) * inputs)
    const matrix = weights.subarray((at % outputs) * inputs, ((at % outputs) + 1) * inputs)
    const matrixSizes = sizes.subarray((at % outputs) * inputs, ((at % outputs) + 1) * inputs)
    for (let block = 0; block < inputs; block += BLOCK) {
      const values = row.subarray(block, block + BLOCK)
      const step = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 127
      for (const [i, value] of values.entries()) {
        const weight = matrix[block + i] ?? 0
        products[at] = (products[at] ?? 0) + weight * value
        // Half a step, and sums in single precision.
        const rounding = (matrixSizes[block + i] ?? 0) * Math.abs(value) * 1e-6
        bounds[at] = (bounds[at] ?? 0) + (Math.abs(weight) * step) / 2 + rounding
      }
    }
  }
  return { products, bounds }
}

function rootMeanSquare(found: Float32Array, expected: Float64Array): number {
  const sum = found.reduce((total, value, i) => total + (value - (expected[i] ?? Number.NaN)) ** 2, 0)
  return Math.sqrt(sum / found.length)
}

const SHAPES: [string, Problem][] = [
  ['one block, one output, one row', { inputs: 32, outputs: 1, rows: 1, ...EVEN }],
  ['a panel that is not full', { inputs: 64, outputs: 21, rows: 3, ...EVEN }],
  ['an odd number of blocks', { inputs: 96, outputs: 48, rows: 2, ...EVEN }],
  ['every number of rows that a kernel has', { inputs: 64, outputs: 16, rows: 13, ...EVEN }],
  ['many rows', { inputs: 768, outputs: 40, rows: 200, ...EVEN }],
  ['activations that do not fit into a cache', { inputs: 3072, outputs: 33, rows: 130, ...EVEN }],
  ['rows of which none fits into a cache', { inputs: 128_000, outputs: 16, rows: 2, ...EVEN }],
  ['the most values that every thread quantises for itself', { inputs: 512, outputs: 40, rows: 8, ...EVEN }],
  ['a row more than that', { inputs: 512, outputs: 40, rows: 9, ...EVEN }],
  [
    'the largest weights and activations',
    { inputs: 128, outputs: 32, rows: 5, weight: () => -128, activation: () => 9 },
  ],
  [
    'alternating extremes',
    {
      inputs: 128,
      outputs: 32,
      rows: 5,
      weight: (random) => (random() < 0 ? -128 : 127),
      activation: (random) => (random() < 0 ? -1e30 : 1e30),
    },
  ],
  ['activations of zero', { inputs: 64, outputs: 16, rows: 4, weight: EVEN.weight, activation: () => 0 }],
  [
    'a few large activations among small ones',
    {
      inputs: 256,
      outputs: 32,
      rows: 6,
      weight: EVEN.weight,
      activation: (random, i) => random() * (i % 50 === 0 ? 1000 : 1),
    },
  ],
  [
    'activations near the smallest floats',
    {
      inputs: 64,
      outputs: 16,
      rows: 2,
      weight: EVEN.weight,
      activation: (random) => random() * 1e-36,
    },
  ],
]

test('this processor has packed kernels, or is none that they were written for', () => {
  expect(PACKED.length > 0 || process.arch !== 'x64').toBe(true)
})

const TYPES: readonly Type[] = ['q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'q4_k', 'q5_k', 'q6_k']

/** With whole blocks. */
function fitted(problem: Problem, type: Type): Problem {
  const [blockInputs] = FILE_BLOCKS[type]
  return { ...problem, inputs: Math.ceil(problem.inputs / blockInputs) * blockInputs }
}

describe.each(PACKED.flatMap((kernels) => TYPES.map((type) => [kernels, type] as const)))('%s, %s', (kernels, type) => {
  test.each(SHAPES)('%s: within the rounding of the activations, no worse than ggml', async (...shape) => {
    const problem = fitted(shape[1], type)
    const filled = fill(problem, type)
    const { products, bounds } = exact(filled, problem)
    const found = await multiply(filled, kernels, problem.inputs)
    expect(found).toHaveLength(products.length)
    for (const [i, product] of products.entries()) {
      const error = Math.abs((found[i] ?? Number.NaN) - product)
      expect(error, `output ${i}: ${found[i]}, expected ${product}`).toBeLessThanOrEqual((bounds[i] ?? 0) + 1e-35)
    }
    const ggml = await multiply(filled, 'ggml', problem.inputs)
    // Chance decides about so few; of super-blocks ggml rounds the activations otherwise, by 256.
    if (products.length < (FILE_BLOCKS[type][0] === BLOCK ? 40 : 1000)) return
    // ggml keeps the scales of activations in half precision, in which 1e30 and 1e-36 are no numbers.
    if (!ggml.every(Number.isFinite) || products.every((product) => Math.abs(product) < 1e-30)) return
    expect(rootMeanSquare(found, products)).toBeLessThanOrEqual(1.02 * rootMeanSquare(ggml, products) + 1e-30)
  })

  test.each(SHAPES)(
    '%s: the same to the last bit with any threads, one row at a time, and in all kernels',
    async (...shape) => {
      const problem = fitted(shape[1], type)
      const filled = fill(problem, type)
      const found = await multiply(filled, kernels, problem.inputs, 1)
      for (const threads of [2, 5]) expect(await multiply(filled, kernels, problem.inputs, threads)).toEqual(found)
      for (const other of PACKED) expect(await multiply(filled, other, problem.inputs)).toEqual(found)
      const last = { ...filled, activations: filled.activations.slice(-problem.inputs) }
      expect(await multiply(last, kernels, problem.inputs)).toEqual(found.slice(-problem.outputs))
    },
  )

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'an activation of %s leaves no finite number in its row, and the other rows alone',
    async (bad) => {
      const problem = fitted({ inputs: 96, outputs: 20, rows: 3, ...EVEN }, type)
      const filled = fill(problem, type)
      const good = await multiply(filled, kernels, problem.inputs)
      filled.activations[problem.inputs + 40] = bad
      const found = await multiply(filled, kernels, problem.inputs)
      expect(found.slice(20, 40).some(Number.isFinite)).toBe(false)
      expect([...found.slice(0, 20), ...found.slice(40)]).toEqual([...good.slice(0, 20), ...good.slice(40)])
    },
  )
})

describe('bad requests', () => {
  const rows = new Uint8Array(FILE_BLOCKS.q8_0[1])
  const call = (
    weights: Uint8Array,
    activations: Float32Array,
    inputs: number,
    kernels = 'ggml',
    type: number = GGML_TYPES.q8_0,
  ) => native.multiplyMatrix(weights, activations, { inputs, type, kernels, threads: 1 })

  test.each<[string, () => Promise<unknown>]>([
    ['half a block', () => call(rows, new Float32Array(16), 16)],
    ['no activations', () => call(rows, new Float32Array(0), 32)],
    ['half a row of activations', () => call(rows, new Float32Array(31), 32)],
    ['half a row of weights', () => call(rows.subarray(1), new Float32Array(32), 32)],
    ['a type that cannot be packed', () => call(new Uint8Array(64), new Float32Array(32), 32, 'ggml', GGML_TYPES.f16)],
    ['kernels that there are not', () => call(rows, new Float32Array(32), 32, 'mmx')],
    ['no numbers', () => call(rows, new Float64Array(32) as unknown as Float32Array, 32)],
  ])('%s', async (_, request) => {
    await expect((async () => request())()).rejects.toMatchObject({ code: 'invalid-argument' })
  })
})

describe('TANDEM_KERNELS', () => {
  const choose = (name: string | undefined, available = PACKED) => {
    const before = process.env['TANDEM_KERNELS']
    if (name === undefined) delete process.env['TANDEM_KERNELS']
    else process.env['TANDEM_KERNELS'] = name
    try {
      return chooseKernels({ ...native, kernels: () => available })
    } finally {
      if (before === undefined) delete process.env['TANDEM_KERNELS']
      else process.env['TANDEM_KERNELS'] = before
    }
  }

  test('names the kernels; without it the fastest are taken', () => {
    expect(choose(undefined, ['avx512vnni', 'avx2'])).toBe('avx512vnni')
    expect(choose('', ['avxvnni', 'avx2'])).toBe('avxvnni')
    expect(choose(undefined, [])).toBe('ggml')
    expect(choose('ggml')).toBe('ggml')
    expect(choose('avx2', ['avx512vnni', 'avx2'])).toBe('avx2')
  })

  test.each(['AVX2', 'sse', 'ggml '])('%s is unknown', (name) => {
    expect(() => choose(name)).toThrow(expect.objectContaining({ code: 'invalid-argument', received: name }))
  })

  test('instructions that the processor lacks', () => {
    expect(() => choose('avx512vnni', ['avx2'])).toThrow(
      expect.objectContaining({ code: 'invalid-argument', expected: 'ggml, avx2' }),
    )
  })
})
