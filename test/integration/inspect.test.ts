import { copyFile, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { convert } from '../../src/convert/convert.ts'
import { TandemError } from '../../src/errors.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { TENSOR_TYPES } from '../../src/formats/gguf/types.ts'
import { inspect } from '../../src/runtime/inspection.ts'
import { load } from '../../src/runtime/load.ts'
import type { InspectedModule, InspectedParameter } from '../../src/runtime/module-tree.ts'
import { peakMemory } from './peak-memory.ts'
import { writeZeroCheckpoint } from './zero-checkpoint.ts'

const NANO_QWEN = fileURLToPath(new URL('../../models/nano-qwen', import.meta.url))
const FOREIGN = fileURLToPath(new URL('../golden/foreign', import.meta.url))

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-inspect-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

function parametersOf({ parameters, children }: InspectedModule): InspectedParameter[] {
  return [...parameters, ...Object.values(children).flatMap(parametersOf)]
}

describe.each(['nano-chatlm', 'nano-qwen'])('inspect %s', (name) => {
  it.each(['q8_0', 'f16', 'f32'] as const)(
    'as %s: every tensor that the conversion writes, once',
    async (quantization) => {
      const output = join(directory, `${name}-${quantization}.gguf`)
      const report = await convert(fileURLToPath(new URL(`../../models/${name}`, import.meta.url)), {
        output,
        quantization,
      })
      const folder = await inspect(name, { quantization })
      const file = await inspect(output)
      const table = await readGguf(output)
      for (const { modules, parameters, bytes } of [folder, file]) {
        const own = parametersOf(modules).filter(({ sharedWith }) => sharedWith === undefined)
        const written = table.tensors.map((tensor) => ({
          tensor: tensor.name,
          type: TENSOR_TYPES.get(tensor.type)?.name,
          shape: [...tensor.shape].reverse(),
          bytes: tensor.size,
        }))
        const seen = own.map(({ tensor, type, shape, bytes }) => ({ tensor, type, shape, bytes }))
        const byName = (a: { tensor: string }, b: { tensor: string }) => (a.tensor < b.tensor ? -1 : 1)
        expect(seen.sort(byName)).toEqual(written.sort(byName))
        expect(parameters).toBe(report.parameters)
        expect(modules.parameterCount).toBe(report.parameters)
        expect(bytes).toBe(table.tensors.reduce((sum, { size }) => sum + size, 0))
      }
      const { path: _path, name: _name, modules: _modules, warnings: _warnings, ...rest } = folder
      expect(file).toMatchObject(rest)
    },
  )

  it('tells what load and generate go by', async () => {
    const found = await inspect(name)
    await using model = await load(name, { cacheDirectory: directory })
    expect(found.kind).toBe(model.kind)
    expect(found.generationConfig).toEqual(model.file.generationConfig)
    expect(found.chatTemplate ?? undefined).toBe(model.file.chatTemplate)
    expect(found.tokenizer.vocabularySize).toBe(model.tokenizer.vocabularySize)
    const { eos } = found.tokenizer.specialTokens
    expect(model.tokenizer.tokenId(eos?.token ?? '')).toBe(eos?.id)
    expect(found.memory.contextSize).toBe(model.contextSize)
  })
})

test('a file that another converter made: its tensors as they are named', async () => {
  const path = join(FOREIGN, 'tiny-llama.gguf')
  const { modules, kind, tokenizer, parameters } = await inspect(path)
  const { tensors } = await readGguf(path)
  expect(kind).toBe('decoder-only')
  expect(tokenizer.model).toBe('llama')
  expect(
    parametersOf(modules)
      .map(({ tensor }) => tensor)
      .sort(),
  ).toEqual(tensors.map(({ name }) => name).sort())
  expect(parameters).toBe(modules.parameterCount)
  expect(Object.keys(modules.children['blk']?.children ?? {})[0]).toBe('0')
})

test('what inspect refuses', async () => {
  const attempts: [unknown, unknown, string][] = [
    ['nano-qwen', { numBeams: 0 }, 'invalid-argument'],
    ['nano-qwen', { contextSize: 100, sourceLength: 101 }, 'invalid-argument'],
    ['nano-qwen', { kvType: 'q4' }, 'invalid-argument'],
    ['nano-qwen', { beams: 2 }, 'invalid-argument'],
    ['nano-qwen', null, 'invalid-argument'],
    ['nano-qwen', { quantization: 'q9' }, 'invalid-argument'],
    ['no-such-model', {}, 'not-found'],
    [42, {}, 'invalid-argument'],
    [fileURLToPath(import.meta.url), {}, 'invalid-file'],
  ]
  for (const [model, options, code] of attempts) {
    await expect(inspect(model as string, options as object), JSON.stringify(options)).rejects.toMatchObject({ code })
  }
})

describe('memory', () => {
  /** nano-qwen's tokenizer on a model of another size, all zeros. */
  async function zeroModel(name: string, sizes: { hidden: number; feedForward: number; layers: number }) {
    const folder = join(directory, name)
    await mkdir(folder)
    for (const file of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
      await copyFile(join(NANO_QWEN, file), join(folder, file))
    }
    const config = JSON.parse(await readFile(join(NANO_QWEN, 'config.json'), 'utf8')) as Record<string, unknown>
    const { hidden, feedForward, layers } = sizes
    const changed = {
      hidden_size: hidden,
      intermediate_size: feedForward,
      num_hidden_layers: layers,
      num_attention_heads: hidden / 64,
      num_key_value_heads: 2,
    }
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changed }))
    const vocabulary = Number(config['vocab_size'])
    await writeZeroCheckpoint(join(folder, 'model.safetensors'), { ...sizes, vocabulary, keyValue: 128 })
    return folder
  }

  it('is what a process then takes, within 10 %', async () => {
    const folder = await zeroModel('large', { hidden: 896, feedForward: 4864, layers: 12 })
    const large = join(directory, 'large.gguf')
    await convert(folder, { output: large })
    const largeInFour = join(directory, 'large-q4_0.gguf')
    await convert(folder, { output: largeInFour, quantization: 'q4_0' })
    const works: [string, { contextSize: number; numBeams: number; sourceLength: number }][] = [
      [join(directory, 'nano-chatlm-q8_0.gguf'), { contextSize: 2048, numBeams: 5, sourceLength: 512 }],
      [join(directory, 'nano-chatlm-q8_0.gguf'), { contextSize: 2048, numBeams: 5, sourceLength: 2048 }],
      [join(directory, 'nano-qwen-q8_0.gguf'), { contextSize: 1024, numBeams: 4, sourceLength: 700 }],
      [large, { contextSize: 600, numBeams: 2, sourceLength: 512 }],
      [largeInFour, { contextSize: 600, numBeams: 2, sourceLength: 512 }],
    ]
    for (const [path, work] of works) {
      const { memory } = await inspect(path, work)
      const measured = await peakMemory(path, work)
      console.log(`${path.slice(directory.length + 1)}: ${memory.total / 2 ** 20} MiB, measured ${measured / 2 ** 20}`)
      expect(Math.abs(measured / memory.total - 1)).toBeLessThan(0.1)
    }
  })

  it('that a folder would not fit into is refused before it is converted', async () => {
    // 1.1 TB: a file of zeros that takes no room on the disk.
    const folder = await zeroModel('endless', { hidden: 65_536, feedForward: 1_048_576, layers: 3 })
    const refusal = await load(folder, { cacheDirectory: directory, quantization: 'f16' }).catch(
      (error: unknown) => error,
    )
    expect(refusal).toBeInstanceOf(TandemError)
    expect(refusal).toMatchObject({ code: 'out-of-memory' })
    expect(String(refusal)).toMatch(/at most \d+\.\d+ GiB.*received \d{4}\.\d+ GiB of weights.*tandem inspect/)
    const { memory } = await inspect(folder, { quantization: 'f16' })
    expect(memory.weights).toBeGreaterThan(2 ** 40)
  })

  it('that a file would not fit into is refused before it is read', async () => {
    // The table says a terabyte, and so does the length of the file.
    const path = join(directory, 'endless.gguf')
    await copyFile(join(directory, 'nano-chatlm-f32.gguf'), path)
    const { tensors } = await readGguf(path)
    // T5's embedding stands at the end.
    const last = tensors.reduce((a, b) => (a.offset > b.offset ? a : b))
    const handle = await open(path, 'r+')
    const rows = 2 ** 30
    await patchRows(handle, last, rows)
    await handle.truncate(last.offset + rows * (last.shape[0] ?? 0) * 4)
    await handle.close()
    const before = process.memoryUsage.rss()
    await expect(load(path)).rejects.toMatchObject({ code: 'out-of-memory' })
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 28)
    await using model = await load(join(directory, 'nano-qwen-q8_0.gguf'))
    expect((await model.generate('你好')).ids.length).toBeGreaterThan(0)
  })
})

/** Writes another number of rows into the table: behind the name stand the number of dimensions and the dimensions. */
async function patchRows(handle: Awaited<ReturnType<typeof open>>, tensor: { name: string }, rows: number) {
  const header = Buffer.alloc(2 ** 22)
  const { bytesRead } = await handle.read(header, 0, header.length, 0)
  const name = Buffer.from(tensor.name)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(name.length))
  const at = header.subarray(0, bytesRead).indexOf(Buffer.concat([length, name]))
  const value = Buffer.alloc(8)
  value.writeBigUInt64LE(BigInt(rows))
  await handle.write(value, 0, 8, at + 8 + name.length + 4 + 8)
}
