import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { openSafetensors } from './safetensors.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-safetensors-'))
  onTestFinished(async () => rm(directory, { recursive: true, force: true }))
})

function file(header: string | Buffer | object, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(typeof header === 'object' && !Buffer.isBuffer(header) ? JSON.stringify(header) : header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, data])
}

function entry(dtype: unknown, shape: unknown, begin: unknown, end: unknown): object {
  return { dtype, shape, data_offsets: [begin, end] }
}

async function put(bytes: Uint8Array, name = 'model.safetensors'): Promise<void> {
  await writeFile(join(directory, name), bytes)
}

async function refuses(error: object): Promise<void> {
  const opened = openSafetensors(directory)
  await opened.then(
    (weights) => weights.close(),
    () => undefined,
  )
  await expect(opened).rejects.toMatchObject({ name: 'TandemError', ...error })
}

const two = { b: entry('F32', [2, 2], 0, 16), a: entry('BF16', [3], 16, 22), __metadata__: { format: 'pt' } }

describe('one file', () => {
  it('gives its tensors by name, and any part of their data', async () => {
    await put(
      file(
        two,
        Uint8Array.from({ length: 22 }, (_, i) => i),
      ),
    )
    const weights = await openSafetensors(directory)
    expect([...weights.tensors.keys()]).toEqual(['a', 'b'])
    const b = weights.tensors.get('b')
    expect(b).toMatchObject({ dtype: 'F32', shape: [2, 2], size: 16, file: 'model.safetensors' })
    const part = new Uint8Array(4)
    if (b !== undefined) await weights.read(b, 12, part)
    expect([...part]).toEqual([12, 13, 14, 15])
    await weights.close()
    await weights.close()
  })

  it('may hold types that are no weights, scalars, empty tensors and strange names', async () => {
    const header = `{"__proto__":${JSON.stringify(entry('BOOL', [2], 0, 2))},"s":${JSON.stringify(entry('I64', [], 2, 10))},
      "none":${JSON.stringify(entry('F32', [0, 4], 10, 10))},"six":${JSON.stringify(entry('F6_E2M3', [4], 10, 13))}}   `
    await put(file(header, Buffer.alloc(13)))
    const weights = await openSafetensors(directory)
    expect([...weights.tensors.keys()]).toEqual(['__proto__', 'none', 's', 'six'])
    await weights.close()
  })

  it('refuses bytes outside a tensor', async () => {
    await put(file(two, Buffer.alloc(22)))
    const weights = await openSafetensors(directory)
    onTestFinished(() => weights.close())
    for (const tensor of weights.tensors.values()) {
      await expect(weights.read(tensor, tensor.size - 1, new Uint8Array(2))).rejects.toMatchObject({
        code: 'invalid-argument',
      })
    }
  })

  it('that becomes shorter while it is open is noticed', async () => {
    await put(file(two, Buffer.alloc(22)))
    const weights = await openSafetensors(directory)
    onTestFinished(() => weights.close())
    await truncate(join(directory, 'model.safetensors'), 30)
    for (const tensor of weights.tensors.values()) {
      await expect(weights.read(tensor, 0, new Uint8Array(tensor.size))).rejects.toMatchObject({ code: 'invalid-file' })
    }
  })
})

describe('a bad file', () => {
  const withLength = (length: bigint, rest = 100) => {
    const bytes = Buffer.alloc(8 + rest, 0x20)
    bytes.writeBigUInt64LE(length)
    return bytes
  }
  const f32 = (begin: number, end: number) => entry('F32', [(end - begin) / 4], begin, end)
  const cases: [string, Buffer, RegExp][] = [
    ['empty', Buffer.alloc(0), /header length/],
    ['seven bytes', Buffer.alloc(7), /header length/],
    ['header of 0 bytes', withLength(0n), /header length/],
    ['header of 1 byte', withLength(1n), /header length/],
    ['header longer than the file', withLength(101n), /header length/],
    ['header of 10^8 + 1 bytes', withLength(100_000_001n), /header length/],
    ['header of 2^60 bytes', withLength(2n ** 60n), /header length/],
    ['header of 2^64 - 1 bytes', withLength(2n ** 64n - 1n), /header length/],
    ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\n'), /Git LFS/],
    ['a web page', Buffer.from('<!DOCTYPE html><html></html>'), /web page/],
    ['a zip archive', Buffer.from('PK\u0003\u0004 and so on and on'), /zip archive/],
    ['header that is not UTF-8', file(Buffer.of(0x7b, 0xff, 0x7d)), /UTF-8/],
    ['header that is a list', file('[]'), /JSON object/],
    ['header that is not JSON', file('{"a":}'), /not JSON/],
    ['header with an open string', file(`{"${'\\"'.repeat(10_000)}`), /not JSON/],
    ['header nested 100,000 deep', file(`{"a":${'['.repeat(100_000)}`), /nested too deep/],
    [
      'tensor twice',
      file(`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(0, 4))}}`, Buffer.alloc(4)),
      /twice/,
    ],
    [
      'tensor twice, escaped',
      file(`{"a":${JSON.stringify(f32(0, 4))},"\\u0061":${JSON.stringify(f32(0, 4))}}`),
      /twice/,
    ],
    ['field twice', file('{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}'), /twice/],
    ['entry that is no object', file({ a: 7 }), /unknown type/],
    ['unknown type', file({ a: entry('Q8', [4], 0, 4) }, Buffer.alloc(4)), /unknown type of a/],
    ['type that is no text', file({ a: entry(7, [4], 0, 4) }, Buffer.alloc(4)), /unknown type of a/],
    ['no shape', file({ a: { dtype: 'F32', data_offsets: [0, 4] } }, Buffer.alloc(4)), /bad shape/],
    ['negative dimension', file({ a: entry('F32', [-1], 0, 4) }, Buffer.alloc(4)), /bad shape/],
    ['fractional dimension', file({ a: entry('F32', [1.5], 0, 6) }, Buffer.alloc(6)), /bad shape/],
    ['dimension of 2^53', file({ a: entry('F32', [2 ** 53], 0, 4) }, Buffer.alloc(4)), /bad shape/],
    ['dimension as text', file({ a: entry('F32', ['1'], 0, 4) }, Buffer.alloc(4)), /bad shape/],
    ['product beyond 2^64', file({ a: entry('U8', [2 ** 40, 2 ** 40], 0, 4) }, Buffer.alloc(4)), /do not fit/],
    [
      'product that is infinite',
      file({ a: entry('U8', Array(99).fill(2 ** 50), 0, 4) }, Buffer.alloc(4)),
      /do not fit/,
    ],
    ['one offset', file({ a: { dtype: 'F32', shape: [1], data_offsets: [0] } }, Buffer.alloc(4)), /bad offsets/],
    ['negative offset', file({ a: entry('F32', [1], -4, 0) }, Buffer.alloc(4)), /bad offsets/],
    ['end before begin', file({ a: entry('F32', [1], 4, 0) }, Buffer.alloc(4)), /do not fit/],
    ['too few bytes for the shape', file({ a: entry('F32', [2], 0, 4) }, Buffer.alloc(4)), /do not fit/],
    ['half a byte', file({ a: entry('F4', [3], 0, 1) }, Buffer.alloc(1)), /do not fit/],
    ['overlap', file({ a: f32(0, 8), b: f32(4, 12) }, Buffer.alloc(12)), /wrong offset/],
    ['hole', file({ a: f32(0, 4), b: f32(8, 12) }, Buffer.alloc(12)), /wrong offset/],
    ['hole at the start', file({ a: f32(4, 8) }, Buffer.alloc(8)), /wrong offset/],
    ['same bytes twice', file({ a: f32(0, 4), b: f32(0, 4) }, Buffer.alloc(4)), /wrong offset/],
    ['bytes after the last tensor', file({ a: f32(0, 4) }, Buffer.alloc(5)), /wrong size/],
    ['data cut off', file({ a: f32(0, 8) }, Buffer.alloc(7)), /wrong size/],
  ]
  it.each(cases)('%s', async (_, bytes, message) => {
    await put(bytes)
    await refuses({ code: 'invalid-file', message: expect.stringMatching(message) })
  })

  it('cut off at any byte', async () => {
    const bytes = file(two, Buffer.alloc(22))
    await put(bytes)
    for (let length = bytes.length - 1; length >= 0; length--) {
      await truncate(join(directory, 'model.safetensors'), length)
      await refuses({ code: 'invalid-file' })
    }
  })
})

describe('shards', () => {
  const index = (weightMap: unknown) => Buffer.from(JSON.stringify({ metadata: {}, weight_map: weightMap }))
  const one = (name: string) => file({ [name]: entry('F32', [1], 0, 4) }, Buffer.alloc(4))
  const INDEX = 'model.safetensors.index.json'

  it('are read in the order of their names', async () => {
    await put(one('a'), 'model-00002-of-00002.safetensors')
    await put(one('z'), 'model-00001-of-00002.safetensors')
    await put(index({ a: 'model-00002-of-00002.safetensors', z: 'model-00001-of-00002.safetensors' }), INDEX)
    const weights = await openSafetensors(directory)
    expect([...weights.tensors.keys()]).toEqual(['z', 'a'])
    await weights.close()
  })

  it('of which one is missing are refused with its name', async () => {
    await put(one('a'), 'x.safetensors')
    await put(index({ a: 'x.safetensors', b: 'y.safetensors' }), INDEX)
    await refuses({ code: 'not-found', message: expect.stringMatching(/y\.safetensors is missing/) })
  })

  const cases: [string, unknown, RegExp][] = [
    ['lack a tensor of the index', { a: 'x.safetensors', b: 'x.safetensors' }, /lacks b/],
    [
      'hold a tensor that the index puts elsewhere',
      { a: 'x.safetensors', b: 'x.safetensors', c: 'y.safetensors' },
      /./,
    ],
    ['hold a tensor in two places', { a: 'x.safetensors', c: 'z.safetensors' }, /repeats a|holds a/],
    ['hold a tensor that the index does not name', { b: 'x.safetensors' }, /holds a/],
    ['lie outside the folder', { a: '../x.safetensors' }, /bad file for a/],
    ['have an absolute path', { a: '/etc/x.safetensors' }, /bad file for a/],
    ['have a Windows path', { a: 'C:x.safetensors' }, /bad file for a/],
    ['have a backslash', { a: '..\\x.safetensors' }, /bad file for a/],
    ['are pickles', { a: 'pytorch_model.bin' }, /bad file for a/],
    ['are no names', { a: 7 }, /bad file for a/],
    ['are no object', [], /weight_map/],
    ['are absent', undefined, /weight_map/],
  ]
  it.each(cases)('that %s are refused', async (_, weightMap, message) => {
    await put(one('a'), 'x.safetensors')
    await put(file({ a: entry('F32', [1], 0, 4), c: entry('F32', [1], 4, 8) }, Buffer.alloc(8)), 'z.safetensors')
    await put(one('c'), 'y.safetensors')
    await put(index(weightMap), INDEX)
    await refuses({ code: 'invalid-file', message: expect.stringMatching(message) })
  })

  it('with an index that is not JSON are refused', async () => {
    await put(Buffer.from('{'), INDEX)
    await refuses({ code: 'invalid-file', message: expect.stringMatching(/not JSON/) })
  })
})

describe('a folder', () => {
  it('without weights is refused', async () => {
    await refuses({ code: 'not-found', received: 'neither' })
  })

  it('with pickles is told to use safetensors', async () => {
    await put(Buffer.from('never opened'), 'pytorch_model.bin')
    await refuses({ code: 'not-found', message: expect.stringMatching(/pytorch_model\.bin.*safetensors/) })
  })

  it('with a directory in place of the file is refused', async () => {
    await mkdir(join(directory, 'model.safetensors'))
    await refuses({ code: 'invalid-file', received: 'a directory' })
  })
})
