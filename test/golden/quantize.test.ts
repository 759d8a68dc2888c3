import { createHash } from 'node:crypto'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convert, type Quantization } from '../../src/convert/convert.ts'
import { chooseTypes } from '../../src/convert/tensor-types.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { GGML_TYPES, type GgufTensorInfo, type GgufValue, typeName } from '../../src/formats/gguf/types.ts'
import { makeFolder } from './convert-folder.ts'
import { quantizedModels, readGolden } from './quantized-models.ts'

// What llama_model_quantize makes of the same models, by scripts/golden/quantize_reference.py.
interface Types {
  legend: Record<string, string>
  shapes: Record<string, Shape>
}

interface Shape {
  architecture: string
  layers: number
  keys: Record<string, number>
  /** Names, `{}` for the number of a layer, with the row length; 0 for a vector. */
  tensors: [name: string, rowLength: number][]
  /** A letter of the legend for every tensor. */
  types: Record<string, string>
}

const { legend, shapes } = readGolden<Types>('types')

/**
 * The same sources give other bits where a compiler fuses multiplications and additions, as for ARM; the reference is
 * of x64. The types are the same everywhere.
 */
const hasReferenceArithmetic = process.arch === 'x64'

/** The tensors of a shape in f32, a block's once for each layer. */
function tensorsOf({ layers, tensors }: Shape): GgufTensorInfo[] {
  return tensors.flatMap(([name, rowLength]) =>
    Array.from({ length: name.includes('{}') ? layers : 1 }, (_, layer) => {
      const matrix = name.includes('_exps') ? [rowLength, 2, 8] : [rowLength, 2]
      return { name: name.replace('{}', `${layer}`), type: GGML_TYPES.f32, shape: rowLength === 0 ? [4] : matrix }
    }),
  )
}

function metadataOf({ architecture, keys }: Shape): Map<string, GgufValue> {
  const numbers = Object.entries(keys).map(([key, value]): [string, GgufValue] => [
    `${architecture}.${key}`,
    { type: 'float32', value },
  ])
  return new Map([['general.architecture', { type: 'string', value: architecture }], ...numbers])
}

describe.each(Object.entries(shapes))('the types of %s', (_, shape) => {
  it.each(Object.entries(shape.types))('%s', (quantization, letters) => {
    const tensors = tensorsOf(shape)
    expect(letters).toHaveLength(tensors.length)
    const choices = chooseTypes(tensors, metadataOf(shape), quantization as Quantization)
    const chosen = tensors.map(({ name }) => `${name} ${typeName(choices.get(name)?.type ?? -1)}`)
    expect(chosen).toEqual(tensors.map(({ name }, i) => `${name} ${legend[letters[i] ?? '']}`))
  })
})

describe.each(Object.entries(quantizedModels()))('%s', (name, model) => {
  let directory: string
  let folder: string
  let f32: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tandem-quantize-'))
    folder = await makeFolder(join(directory, name), model.folder)
    f32 = join(directory, 'f32.gguf')
    await convert(folder, { output: f32, quantization: 'f32' })
  })
  afterAll(async () => rm(directory, { recursive: true, force: true }))

  it.each(Object.entries(model.expected))(
    '%s, from the folder and from its f32 file',
    async (quantization, expected) => {
      const output = join(directory, 'quantized.gguf')
      const again = join(directory, 'from-f32.gguf')
      await convert(folder, { output, quantization: quantization as Quantization })
      await convert(f32, { output: again, quantization: quantization as Quantization })
      await expectTensors(output, model.tensors, expected)
      const { metadata } = await readGguf(output)
      expect(metadata.get('general.file_type')).toEqual({ type: 'uint32', value: model.fileTypes[quantization] })
      expect((await readFile(again)).equals(await readFile(output)), 'the whole file, from the f32 file').toBe(true)
    },
  )

  it('q5_0 from a file in the type of the checkpoint', async () => {
    const own = model.folder.shards[0]?.tensors[0]?.dtype.toLowerCase() as Quantization
    const half = join(directory, 'half.gguf')
    const output = join(directory, 'quantized.gguf')
    const again = join(directory, 'from-half.gguf')
    await convert(folder, { output: half, quantization: own })
    await convert(folder, { output, quantization: 'q5_0' })
    await convert(half, { output: again, quantization: 'q5_0' })
    expect((await readFile(again)).equals(await readFile(output))).toBe(true)
  })

  it.each(Object.entries(model.requantized))('%s: quantised twice', async (quantizations, expected) => {
    const [first, then] = quantizations.split(' ') as [Quantization, Quantization]
    const output = join(directory, 'first.gguf')
    const again = join(directory, 'then.gguf')
    await convert(folder, { output, quantization: first })
    const { requantized } = await convert(output, { output: again, quantization: then, allowRequantize: true })
    await expectTensors(again, model.tensors, expected)
    expect(requantized).toBeGreaterThan(0)
  })
})

async function expectTensors(path: string, names: readonly string[], expected: readonly string[]): Promise<void> {
  const found = await describeTensors(path)
  expect(Object.keys(found).sort()).toEqual(names)
  const shown = (entry: string) => (hasReferenceArithmetic ? entry : entry.split(' ')[0])
  expect(names.map((name) => `${name} ${shown(found[name] ?? '')}`)).toEqual(
    names.map((name, i) => `${name} ${shown(expected[i] ?? '')}`),
  )
}

/** Each tensor as the golden file describes it. */
async function describeTensors(path: string): Promise<Record<string, string>> {
  const { tensors } = await readGguf(path)
  const handle = await open(path, 'r')
  try {
    const entries: [string, string][] = []
    for (const { name, type, offset, size } of tensors) {
      const data = Buffer.alloc(size)
      await handle.read(data, 0, size, offset)
      const digest = createHash('sha256').update(data).digest('hex').slice(0, 8)
      entries.push([name, `${typeName(type)} ${digest}`])
    }
    return Object.fromEntries(entries)
  } finally {
    await handle.close()
  }
}
