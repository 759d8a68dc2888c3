import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { openSafetensors } from './safetensors.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-safetensors-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
})

function file(header: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, data])
}

const entry = (dtype: string, shape: number[], begin: number, end: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] })

async function put(bytes: Uint8Array | string, name = 'model.safetensors'): Promise<void> {
  await writeFile(join(directory, name), bytes)
}

/** Opens the folder; the error, whose sentence is whole, or undefined. */
async function opening(): Promise<unknown> {
  try {
    await (await openSafetensors(directory)).close()
    return undefined
  } catch (error) {
    return error
  }
}

/** Seconds of processor time, and bytes outside the heap, that an attempt takes at most. */
async function cost(): Promise<{ seconds: number; bytes: number }> {
  const before = process.memoryUsage().arrayBuffers
  const cpu = process.cpuUsage()
  await opening()
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (user + system) / 1e6, bytes: process.memoryUsage().arrayBuffers - before }
}

describe('a header', () => {
  it.each([2n ** 53n, 2n ** 60n, 2n ** 64n - 1n, 100_000_001n])('of %i bytes costs nothing', async (length) => {
    const bytes = Buffer.alloc(200_000_000)
    bytes.writeBigUInt64LE(length)
    await put(bytes)
    const { seconds, bytes: allocated } = await cost()
    expect(seconds).toBeLessThan(0.1)
    expect(allocated).toBeLessThan(1e6)
    expect(await opening()).toMatchObject({
      code: 'invalid-file',
      message: expect.stringMatching(/header length.*received/),
    })
  })

  it('of a million tensors is refused before they are made', async () => {
    const names = Array.from({ length: 1_000_000 }, (_, i) => `"${i}":${entry('U8', [0], 0, 0)}`)
    await put(file(`{${names.join(',')}}`))
    expect(await opening()).toMatchObject({
      code: 'invalid-file',
      message: expect.stringMatching(/too many names in its header: expected at most 262144/),
    })
  })

  it.each([
    ['a shape without end', `{"a":{"dtype":"U8","shape":[${'1,'.repeat(5_000_000)}1],"data_offsets":[0,1]}}`, /commas/],
    ['empty lists without end', `{"a":[${'[],'.repeat(5_000_000)}[]]}`, /commas/],
    [
      'metadata without end',
      `{"__metadata__":{${Array.from({ length: 300_000 }, (_, i) => `"${i}":""`).join(',')}}}`,
      /names/,
    ],
  ])('with %s is refused', async (_, header, message) => {
    await put(file(header, Buffer.alloc(1)))
    expect(await opening()).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(message) })
  })

  it('with __proto__ and its like changes no prototype', async () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
    const entries = names.map((name, i) => `"${name}":${entry('U8', [1], i, i + 1)}`)
    await put(file(`{${entries.join(',')}}`, Buffer.alloc(4)))
    const weights = await openSafetensors(directory)
    expect([...weights.tensors.keys()].sort()).toEqual([...names].sort())
    await weights.close()
    await put(file(`{"a":{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}`, Buffer.alloc(1)))
    expect(await opening()).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(/nested too deep/) })
    expect(Object.keys(Object.prototype)).toEqual([])
    expect(({} as { dtype?: unknown }).dtype).toBeUndefined()
  })

  it('with a name of a megabyte, or of several lines, gives a message of one readable line', async () => {
    for (const name of ['x'.repeat(1_000_000), 'a\\n[error] forged\\r\\n\\u2028line']) {
      await put(file(`{"${name}":{"dtype":"Q8","shape":[1],"data_offsets":[0,1]}}`, Buffer.alloc(1)))
      const error = await opening()
      expect(error).toMatchObject({ code: 'invalid-file' })
      const { message } = error as Error
      expect(message.length).toBeLessThan(5_000)
      expect(message).not.toMatch(/[\n\r\u2028]/)
    }
  })
})

describe('tensors of no bytes', () => {
  it('may share a place with others', async () => {
    const header = `{"a":${entry('F32', [0], 0, 0)},"b":${entry('F32', [2], 0, 8)},"c":${entry('F32', [3, 0], 8, 8)},"d":${entry('U8', [0], 8, 8)}}`
    await put(file(header, Buffer.alloc(8)))
    const weights = await openSafetensors(directory)
    expect([...weights.tensors.values()].map(({ name, size }) => [name, size])).toEqual([
      ['a', 0],
      ['b', 8],
      ['c', 0],
      ['d', 0],
    ])
    await weights.close()
  })

  it.each([4, 9, 2 ** 53 - 1])('may not lie inside another or outside the file: %i', async (at) => {
    await put(file(`{"b":${entry('F32', [2], 0, 8)},"hidden":${entry('F32', [0], at, at)}}`, Buffer.alloc(8)))
    expect(await opening()).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(/wrong offset/) })
  })
})

describe('a file of two kinds', () => {
  const zip = Buffer.concat([
    Buffer.from('PK\x03\x04'),
    Buffer.alloc(60, 1),
    Buffer.from('PK\x05\x06'),
    Buffer.alloc(18),
  ])

  it('with an archive before or behind it is refused', async () => {
    const good = file(`{"a":${entry('U8', [4], 0, 4)}}`, Buffer.alloc(4))
    await put(Buffer.concat([zip, good]))
    expect(await opening()).toMatchObject({ code: 'invalid-file', received: 'a zip archive, as PyTorch writes' })
    await put(Buffer.concat([good, zip]))
    expect(await opening()).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(/wrong size/) })
  })

  it('with an archive as the bytes of a tensor is only bytes', async () => {
    await put(file(`{"a":${entry('U8', [zip.length], 0, zip.length)}}`, zip))
    expect(await opening()).toBeUndefined()
  })
})

describe('a folder without safetensors', () => {
  it.runIf(process.platform !== 'win32')(
    'opens no pickle: that of a pipe would wait for a writer for ever',
    async () => {
      for (const name of ['pytorch_model.bin', 'model.pt', 'consolidated.00.pth', 'weights.ckpt', 'data.pkl']) {
        execFileSync('mkfifo', [join(directory, name)])
        expect(await opening()).toMatchObject({
          code: 'not-found',
          expected: 'model.safetensors or model.safetensors.index.json',
          received: name,
          remedy: expect.stringMatching(/run code.*never read: save the model as safetensors/),
        })
        await rm(join(directory, name))
      }
    },
  )

  it.each([
    ['model-00001-of-00002.safetensors', /Fetch model\.safetensors\.index\.json/],
    ['model-q4_k_m.gguf', /Name the GGUF file itself/],
    ['tf_model.h5', /Save the model as safetensors/],
    ['flax_model.msgpack', /Save the model as safetensors/],
  ])('but with %s says what to do', async (name, remedy) => {
    await put('', name)
    expect(await opening()).toMatchObject({ code: 'not-found', received: name, remedy: expect.stringMatching(remedy) })
  })

  it.runIf(process.platform !== 'win32')(
    'but with a pipe, a device or a dangling link in its place is refused',
    async () => {
      const path = join(directory, 'model.safetensors')
      execFileSync('mkfifo', [path])
      expect(await opening()).toMatchObject({ code: 'invalid-file', received: 'a device or a pipe' })
      for (const [target, code] of [
        ['/dev/zero', 'invalid-file'],
        ['/no/such/file', 'not-found'],
      ] as const) {
        await rm(path)
        await symlink(target, path)
        expect(await opening()).toMatchObject({ name: 'TandemError', code })
      }
    },
  )
})

describe('an index', () => {
  const INDEX = 'model.safetensors.index.json'

  it.each([
    ['nested without end', `{"weight_map":${'['.repeat(200_000)}`, /not JSON/],
    ['of values without end', `[${'{},'.repeat(9_000_000)}0]`, /not JSON/],
    ['with a byte order mark', '\uFEFF{"weight_map":{}}', /not JSON/],
    ['with a shard under a name of Object.prototype', '{"weight_map":{"a":"__proto__"}}', /bad file for a/],
    ['with NUL in a name', '{"weight_map":{"a":"x\\u0000.safetensors"}}', /bad file for a/],
  ])('%s is refused', async (_, text, message) => {
    await put(text, INDEX)
    expect(await opening()).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(message) })
  })

  it('that is a folder is refused', async () => {
    await mkdir(join(directory, INDEX))
    expect(await opening()).toMatchObject({ code: 'invalid-file', received: 'a directory' })
  })
})
