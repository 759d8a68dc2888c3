import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { partialName } from '../partial-file.ts'
import { readGguf } from './read.ts'
import type { GgufTensorInfo, GgufValue } from './types.ts'
import { writeGguf } from './write.ts'

const metadata = new Map<string, GgufValue>([['general.architecture', { type: 'string', value: 'test' }]])
const tensors: GgufTensorInfo[] = [
  { name: 'a', type: 0, shape: [3, 2] },
  { name: 'b', type: 0, shape: [9] },
]

let directory: string
let output: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-write-'))
  output = join(directory, 'model.gguf')
  onTestFinished(async () => rm(directory, { recursive: true, force: true }))
})

async function* bytes(count: number, value: number, pieces = 2): AsyncGenerator<Uint8Array> {
  const piece = Math.ceil(count / pieces)
  for (let position = 0; position < count; position += piece) {
    yield Buffer.alloc(Math.min(piece, count - position), value)
  }
}

const data = ({ name }: GgufTensorInfo) => (name === 'a' ? bytes(24, 1) : bytes(36, 2, 5))

describe('writing', () => {
  it('puts the data in order, with zeros between, and leaves only the file', async () => {
    const size = await writeGguf(output, { metadata, tensors }, { data })
    const file = await readFile(output)
    expect(file).toHaveLength(size)
    const gguf = await readGguf(output)
    expect(gguf.metadata).toEqual(metadata)
    const start = gguf.tensors[0]?.offset ?? 0
    const expected = [Buffer.alloc(24, 1), Buffer.alloc(8), Buffer.alloc(36, 2), Buffer.alloc(28)]
    expect(file.subarray(start)).toEqual(Buffer.concat(expected))
    expect(await readdir(directory)).toEqual(['model.gguf'])
  })

  it('aligns the data as the metadata say', async () => {
    const aligned = new Map(metadata).set('general.alignment', { type: 'uint32', value: 256 })
    const size = await writeGguf(output, { metadata: aligned, tensors }, { data })
    const gguf = await readGguf(output)
    expect(gguf.alignment).toBe(256)
    expect(gguf.tensors.map(({ offset }) => offset % 256)).toEqual([0, 0])
    expect(size).toBe((gguf.tensors[1]?.offset ?? 0) + 256)
  })

  it('replaces an older file, and removes what a process left that died', async () => {
    await writeFile(output, 'old')
    const { pid } = spawnSync(process.execPath, ['--version'])
    await writeFile(partialName(output).replace(`-${process.pid}-`, `-${pid}-`), 'left over')
    await writeGguf(output, { metadata, tensors }, { data })
    expect((await readGguf(output)).tensors).toHaveLength(2)
    expect(await readdir(directory)).toEqual(['model.gguf'])
  })

  it('to one place by several at once leaves one complete file', async () => {
    const slow = async function* (tensor: GgufTensorInfo) {
      for await (const piece of data(tensor)) {
        await new Promise(setImmediate)
        yield piece
      }
    }
    await Promise.all(Array.from({ length: 8 }, () => writeGguf(output, { metadata, tensors }, { data: slow })))
    expect((await readGguf(output)).tensors).toHaveLength(2)
    expect(await readdir(directory)).toEqual(['model.gguf'])
  })
})

describe('a failure', () => {
  async function fails(options: Parameters<typeof writeGguf>[2], error: object): Promise<void> {
    await writeFile(output, 'old')
    await expect(writeGguf(output, { metadata, tensors }, options)).rejects.toMatchObject(error)
    expect(await readFile(output, 'utf8')).toBe('old')
    expect(await readdir(directory)).toEqual(['model.gguf'])
  }

  it('by too little data leaves nothing', async () => {
    await fails({ data: () => bytes(20, 1) }, { code: 'invalid-argument', message: expect.stringMatching(/24 bytes/) })
  })

  it('by too much data leaves nothing', async () => {
    await fails({ data: () => bytes(40, 1) }, { code: 'invalid-argument', received: '40' })
  })

  it('of the source leaves nothing and stays the same error', async () => {
    const error = new Error('the source broke')
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(8)
      throw error
    }
    await fails({ data: broken }, error)
  })

  it('by an abort leaves nothing', async () => {
    const controller = new AbortController()
    const abortSoon = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(8)
      controller.abort()
      yield Buffer.alloc(16)
    }
    await fails({ data: abortSoon, signal: controller.signal }, { code: 'aborted' })
  })

  it('because somebody took the unfinished file leaves that file alone', async () => {
    let stolen = ''
    const steal = async function* (): AsyncGenerator<Uint8Array> {
      stolen = join(directory, (await readdir(directory))[0] ?? '')
      await rm(stolen)
      await writeFile(stolen, 'of another process')
      yield* bytes(24, 1)
    }
    const options = { data: (tensor: GgufTensorInfo) => (tensor.name === 'a' ? steal() : bytes(36, 2)) }
    await expect(writeGguf(output, { metadata, tensors }, options)).rejects.toMatchObject({
      code: 'io',
      message: expect.stringMatching(/removed or replaced while it was written/),
    })
    expect(await readFile(stolen, 'utf8')).toBe('of another process')
    expect(await readdir(directory)).toHaveLength(1)
  })
})

describe('a bad place', () => {
  it('that is a directory is refused', async () => {
    await mkdir(output)
    await expect(writeGguf(output, { metadata, tensors }, { data })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/is a directory/),
    })
  })

  it('in a directory that does not exist is refused', async () => {
    const missing = join(directory, 'missing', 'model.gguf')
    await expect(writeGguf(missing, { metadata, tensors }, { data })).rejects.toMatchObject({ code: 'not-found' })
  })

  it('behind a file is refused', async () => {
    await writeFile(output, 'a file')
    await expect(writeGguf(join(output, 'x.gguf'), { metadata, tensors }, { data })).rejects.toMatchObject({
      code: 'io',
    })
  })

  it('that is too small is refused before anything is written', async () => {
    const large = [{ name: 'large', type: 0, shape: [2 ** 40] }]
    await expect(writeGguf(output, { metadata, tensors: large }, { data })).rejects.toMatchObject({
      code: 'io',
      message: expect.stringMatching(/too full/),
    })
    expect(await readdir(directory)).toEqual([])
  })

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('without permission is refused', async () => {
    await chmod(directory, 0o500)
    await expect(writeGguf(output, { metadata, tensors }, { data })).rejects.toMatchObject({ code: 'io' })
  })

  it.skipIf(process.platform !== 'linux')('whose file system takes no files is refused', async () => {
    await expect(writeGguf('/proc/model.gguf', { metadata, tensors }, { data })).rejects.toMatchObject({
      name: 'TandemError',
    })
  })

  it('for a tensor without a size is refused', async () => {
    const bad = [{ name: 'bad', type: 8, shape: [33] }]
    await expect(writeGguf(output, { metadata, tensors: bad }, { data })).rejects.toMatchObject({
      code: 'invalid-argument',
    })
  })
})
