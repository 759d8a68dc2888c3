import { createHash } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convert, converterVersion, type Quantization } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { type GgufFile, type GgufValue, TENSOR_TYPES } from '../../src/formats/gguf/types.ts'
import { type FolderDescription, golden, makeFolder } from '../golden/convert-folder.ts'

/** Expected files by llama.cpp's own converter, made by scripts/golden/convert_reference.py. */
interface Golden {
  folder: FolderDescription
  expected: Record<
    Quantization,
    { metadata: Record<string, ExpectedValue>; tensors: ExpectedTensor[]; dataSize: number }
  >
}

interface ExpectedTensor {
  name: string
  type: string
  shape: number[]
  offset: number
  size: number
  sha256: string
}

interface ExpectedValue {
  type: string[]
  value?: unknown
  length?: number
  sha256?: string
}

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-convert-'))
})
afterAll(async () => rm(directory, { recursive: true, force: true }))

const models = (await readdir(golden(''))).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5))

describe.each(models)('%s', (name) => {
  let model: Golden
  let folder: string
  beforeAll(async () => {
    model = JSON.parse(await readFile(golden(`${name}.json`), 'utf8')) as Golden
    folder = await makeFolder(join(directory, name), model.folder)
  })

  it.each(['f32', 'f16', 'bf16', 'q8_0'] as const)('%s is what llama.cpp converts it to', async (quantization) => {
    const output = join(directory, `${name}-${quantization}.gguf`)
    const report = await convert(folder, { output, quantization })
    const gguf = await readGguf(output)
    const expected = model.expected[quantization]
    expect(await tensorsOf(gguf, output)).toEqual(expected.tensors)
    expect((await stat(output)).size - dataStart(gguf)).toBe(expected.dataSize)
    for (const [key, value] of Object.entries(expected.metadata)) {
      expect(describeValue(gguf.metadata.get(key), value), key).toEqual(value)
    }
    expect(report).toMatchObject({
      output,
      quantization,
      tensors: expected.tensors.length,
      bytes: (await stat(output)).size,
    })
    expect(textOf(gguf, 'general.architecture')).toBe(report.architecture)
    await rm(output)
  })

  it('carries the files of the folder', async () => {
    const output = join(directory, `${name}.gguf`)
    await convert(folder, { output })
    const gguf = await readGguf(output)
    const files = { 'tokenizer.huggingface.json': 'tokenizer.json', 'tandem.tokenizer_config': 'tokenizer_config.json' }
    for (const [key, file] of Object.entries({ ...files, 'tandem.config': 'config.json' })) {
      expect(textOf(gguf, key) === (await readFile(join(folder, file), 'utf8')), file).toBe(true)
    }
    expect(textOf(gguf, 'tandem.generation_config')).toBe(model.folder.files['generation_config.json'])
    expect(textOf(gguf, 'tandem.quantization')).toBe('q8_0')
    expect(gguf.metadata.get('tandem.converter_version')).toEqual({ type: 'uint32', value: converterVersion })
    await rm(output)
  })
})

function textOf(gguf: GgufFile, key: string): unknown {
  return gguf.metadata.get(key)?.value
}

function dataStart(gguf: GgufFile): number {
  return Math.min(...gguf.tensors.map(({ offset }) => offset))
}

async function tensorsOf(gguf: GgufFile, path: string): Promise<ExpectedTensor[]> {
  const start = dataStart(gguf)
  const handle = await open(path, 'r')
  try {
    const tensors: ExpectedTensor[] = []
    for (const { name, type, shape, offset, size } of gguf.tensors) {
      const data = Buffer.alloc(size)
      await handle.read(data, 0, size, offset)
      const kind = TENSOR_TYPES.get(type)?.name ?? ''
      tensors.push({ name, type: kind, shape, offset: offset - start, size, sha256: sha256(data) })
    }
    return tensors
  } finally {
    await handle.close()
  }
}

/** A value in the words of the golden file: long ones as a digest. */
function describeValue(value: GgufValue | undefined, expected: ExpectedValue): ExpectedValue {
  if (value === undefined) return { type: [] }
  const type = value.type === 'array' ? ['array', value.items] : [value.type]
  const plain = value.type === 'array' ? Array.from<unknown>(value.value) : value.value
  if (expected.sha256 === undefined) return { type, value: plain }
  const text = Buffer.from(Array.isArray(plain) ? JSON.stringify(plain) : String(plain))
  return { type, length: Array.isArray(plain) ? plain.length : text.length, sha256: sha256(text) }
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
