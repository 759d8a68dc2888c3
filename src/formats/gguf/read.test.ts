import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TandemError } from '../../errors.ts'
import { encodeHeader } from './encode.ts'
import { readGguf } from './read.ts'
import type { GgufTensorInfo, GgufValue } from './types.ts'
import { tensorBytes, VALUE_TYPES } from './types.ts'

let path: string
let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-gguf-'))
  path = join(directory, 'model.gguf')
})
afterAll(async () => rm(directory, { recursive: true, force: true }))

const METADATA = new Map<string, GgufValue>([
  ['general.architecture', { type: 'string', value: 'test' }],
  ['a.uint8', { type: 'uint8', value: 255 }],
  ['a.int8', { type: 'int8', value: -128 }],
  ['a.uint16', { type: 'uint16', value: 65_535 }],
  ['a.int16', { type: 'int16', value: -32_768 }],
  ['a.uint32', { type: 'uint32', value: 4_294_967_295 }],
  ['a.int32', { type: 'int32', value: -2_147_483_648 }],
  ['a.float32', { type: 'float32', value: 0.5 }],
  ['a.bool', { type: 'bool', value: true }],
  ['a.uint64', { type: 'uint64', value: 18_446_744_073_709_551_615n }],
  ['a.int64', { type: 'int64', value: -9_223_372_036_854_775_808n }],
  ['a.float64', { type: 'float64', value: Math.PI }],
  ['a.strings', { type: 'array', items: 'string', value: ['', '你好', Uint8Array.of(0xff, 0xfe), 'with � in it'] }],
  ['a.bools', { type: 'array', items: 'bool', value: [true, false] }],
  ['a.floats', { type: 'array', items: 'float32', value: Float32Array.of(1.5, -2) }],
  ['a.longs', { type: 'array', items: 'uint64', value: BigUint64Array.of(1n, 2n) }],
  ['a.empty', { type: 'array', items: 'int32', value: new Int32Array(0) }],
])
const TENSORS: GgufTensorInfo[] = [
  { name: 'norm', type: 0, shape: [5] },
  { name: 'weight', type: 8, shape: [64, 3] },
  { name: 'last', type: 1, shape: [3, 1, 2, 1] },
]

function file(metadata: ReadonlyMap<string, GgufValue>, tensors: GgufTensorInfo[]): Buffer {
  const sizes = tensors.map(({ type, shape }) => tensorBytes(type, shape) ?? 0)
  const { pieces } = encodeHeader(metadata, tensors, sizes)
  return Buffer.concat([...pieces, ...sizes.map((size) => Buffer.alloc(Math.ceil(size / 32) * 32, 7))])
}

async function read(bytes: Uint8Array) {
  await writeFile(path, bytes)
  return readGguf(path)
}

async function refuses(bytes: Uint8Array, message: RegExp): Promise<void> {
  const error = await read(bytes).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(TandemError)
  expect(error).toMatchObject({ code: 'invalid-file', message: expect.stringMatching(message) })
}

describe('a good file', () => {
  it('comes back with the types that it was written with', async () => {
    const gguf = await read(file(METADATA, TENSORS))
    const plain = [...gguf.metadata].map(([key, entry]) => [
      key,
      entry.type === 'array' ? { type: entry.type, items: entry.items, value: entry.value } : entry,
    ])
    expect(plain).toEqual([...METADATA])
    expect(gguf).toMatchObject({ version: 3, alignment: 32 })
    expect(gguf.tensors.map(({ name, type, shape }) => ({ name, type, shape }))).toEqual(TENSORS)
    expect(gguf.tensors.map(({ size }) => size)).toEqual([20, 204, 12])
    const [first, second, third] = gguf.tensors.map(({ offset }) => offset)
    expect([second, third]).toEqual([(first ?? 0) + 32, (first ?? 0) + 32 + 224])
  })

  it('may be of version 2, aligned otherwise, and end without padding', async () => {
    const metadata = new Map<string, GgufValue>([['general.alignment', { type: 'uint32', value: 32 }]])
    const bytes = file(metadata, [{ name: 'x', type: 0, shape: [1] }])
    bytes.writeUInt32LE(2, 4)
    expect((await read(bytes.subarray(0, bytes.length - 28))).version).toBe(2)
  })

  it('has its strings whole wherever a read of the file ends', async () => {
    // The first text begins at byte 57, and a read ends `left` bytes behind it: in the next length or text, or behind both.
    for (let left = 0; left <= 8 + 60; left++) {
      const value = ['x'.repeat(2 ** 20 - 57 - left), '你'.repeat(20), '', 'longer than a read'.repeat(100_000), 'z']
      const { metadata } = await read(file(new Map([['a', { type: 'array', items: 'string', value }]]), TENSORS))
      expect(metadata.get('a')?.value).toEqual(value)
    }
  })

  it('with 300,000 strings takes little time', async () => {
    const value = Array.from({ length: 151_936 }, (_, i) => `token ${i}`)
    const metadata = new Map<string, GgufValue>([
      ['tokens', { type: 'array', items: 'string', value }],
      ['merges', { type: 'array', items: 'string', value }],
    ])
    await writeFile(path, file(metadata, []))
    const cpu = process.cpuUsage()
    expect((await readGguf(path)).metadata.get('merges')?.value).toHaveLength(151_936)
    const { user, system } = process.cpuUsage(cpu)
    // 0.1 s of processor time where it was measured; the bound leaves room for slower machines.
    expect((user + system) / 1e6).toBeLessThan(1)
  })
})

describe('a path', () => {
  it.each([
    ['that does not exist', () => join(directory, 'missing'), 'not-found'],
    ['of a directory', () => directory, 'invalid-file'],
  ])('%s is refused', async (_, make, code) => {
    await expect(readGguf(make())).rejects.toMatchObject({ name: 'TandemError', code })
  })

  it.runIf(process.platform === 'linux').each(['/dev/zero', '/dev/null', '/dev/tty', '/proc/self/mem'])(
    'of %s is refused before a byte is read',
    async (path) => {
      await expect(readGguf(path)).rejects.toMatchObject({
        name: 'TandemError',
        code: expect.stringMatching(/^(invalid-file|io|not-found)$/) as string,
      })
    },
  )

  it.each([
    ['an empty file', '', /cut off/],
    ['a file of three bytes', 'abc', /not a GGUF file/],
    ['a zip archive', 'PK\u0003\u0004 and so on', /not a GGUF file.*zip archive.*run code.*safetensors/],
    ['a pickle', '\u0080\u0002}q\u0001 and so on', /not a GGUF file.*pickle.*safetensors/],
    ['a safetensors file', '\u0002\0\0\0\0\0\0\0{}', /not a GGUF file.*safetensors file.*folder/],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1', /Git LFS pointer.*git lfs pull/],
    ['a web page', '<!DOCTYPE html>', /a web page.*Download/],
    ['zeros', '\0'.repeat(4096), /nothing but zeros/],
  ])('of %s says what it is', async (_, content, message) => refuses(Buffer.from(content, 'latin1'), message))

  it.skipIf(process.platform === 'win32')('of a pipe is refused and does not wait for a writer', async () => {
    const pipe = join(directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    await expect(readGguf(pipe)).rejects.toMatchObject({ code: 'invalid-file' })
  })
})

/** Bytes of a file, written value by value, so that every one of them can be wrong. */
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: bigint | number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)))
  return bytes
}
const text = (value: string | Buffer) => Buffer.concat([u64(Buffer.from(value).length), Buffer.from(value)])
const type = (name: (typeof VALUE_TYPES)[number]) => u32(VALUE_TYPES.indexOf(name))
const start = (tensors: bigint | number, keys: bigint | number) =>
  Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(keys)])
const filler = Buffer.alloc(4096)

function withKey(...parts: Buffer[]): Buffer {
  return Buffer.concat([start(0, 1), ...parts, filler])
}

interface Raw {
  name?: string | Buffer
  dimensions?: number
  shape?: (bigint | number)[]
  type?: number
  offset?: bigint | number
}

function tensor({ name = 't', dimensions, shape = [32], type: kind = 0, offset = 0 }: Raw): Buffer {
  return Buffer.concat([text(name), u32(dimensions ?? shape.length), ...shape.map(u64), u32(kind), u64(offset)])
}

const withTensors = (...tensors: Raw[]) => Buffer.concat([start(tensors.length, 0), ...tensors.map(tensor), filler])
const withAlignment = (...value: Buffer[]) =>
  Buffer.concat([start(1, 1), text('general.alignment'), ...value, tensor({}), filler])

describe('a bad file', () => {
  const huge = 2n ** 63n
  const cases: [string, Buffer, RegExp][] = [
    ['empty', Buffer.alloc(0), /cut off/],
    ['wrong magic', Buffer.concat([Buffer.from('PK\u0003\u0004'), filler]), /magic bytes/],
    ['version 0', Buffer.concat([Buffer.from('GGUF'), u32(0), filler]), /version/],
    ['version 1', Buffer.concat([Buffer.from('GGUF'), u32(1), filler]), /version/],
    ['version 99', Buffer.concat([Buffer.from('GGUF'), u32(99), filler]), /version/],
    ['big-endian', Buffer.concat([Buffer.from('GGUF'), u32(0x03000000), filler]), /version/],
    ['2^63 tensors', Buffer.concat([start(huge, 0), filler]), /too many tensors/],
    ['2^64 - 1 tensors', Buffer.concat([start(-1n, 0), filler]), /too many tensors/],
    ['2^63 keys', Buffer.concat([start(0, huge), filler]), /too many metadata keys/],
    ['more keys than the file has room for', Buffer.concat([start(0, 400), filler]), /too many metadata keys/],
    ['key of 2^64 - 1 bytes', withKey(u64(-1n)), /key that is too long/],
    [
      'key of 65,536 bytes',
      Buffer.concat([withKey(text('k'.repeat(65_536))), Buffer.alloc(70_000)]),
      /key that is too/,
    ],
    ['empty key', withKey(text('')), /empty metadata key/],
    ['key that is not UTF-8', withKey(text(Buffer.of(0xff))), /not UTF-8/],
    [
      'key twice',
      Buffer.concat([start(0, 2), text('k'), u32(0), Buffer.of(1), text('k'), u32(0), filler]),
      /key twice/,
    ],
    ['value type 13', withKey(text('k'), u32(13)), /unknown value type/],
    ['value type 2^32 - 1', withKey(text('k'), u32(0xffffffff)), /unknown value type/],
    ['truth value 2', withKey(text('k'), type('bool'), Buffer.of(2)), /truth value/],
    ['string of 2^63 bytes', withKey(text('k'), type('string'), u64(huge)), /too long/],
    ['string beyond the end', withKey(text('k'), type('string'), u64(10_000)), /cut off/],
    ['array of unknown type', withKey(text('k'), type('array'), u32(77), u64(1)), /unknown value type/],
    ['nested arrays', withKey(text('k'), type('array'), type('array'), u64(1)), /nested arrays/],
    ['array of 2^64 - 1 bytes', withKey(text('k'), type('array'), type('uint8'), u64(-1n)), /too many items/],
    ['array beyond the end', withKey(text('k'), type('array'), type('float64'), u64(600)), /too many items/],
    [
      'more strings than the heap holds',
      Buffer.concat([
        start(0, 3),
        ...['a', 'b', 'c'].map((key) =>
          Buffer.concat([text(key), type('array'), type('string'), u64(2 ** 22), Buffer.alloc(8 * 2 ** 22)]),
        ),
      ]),
      /too many strings/,
    ],
    ['2^61 strings', withKey(text('k'), type('array'), type('string'), u64(2n ** 61n)), /too many items/],
    [
      'string in an array of 2^64 - 1 bytes',
      withKey(text('k'), type('array'), type('string'), u64(1), u64(-1n)),
      /too long/,
    ],
    [
      'string in an array of 2^32 bytes',
      withKey(text('k'), type('array'), type('string'), u64(1), u64(2n ** 32n)),
      /too long/,
    ],
    ['truth value 3 in an array', withKey(text('k'), type('array'), type('bool'), u64(1), Buffer.of(3)), /truth value/],
    ['alignment 0', withAlignment(type('uint32'), u32(0)), /general.alignment/],
    ['alignment 13', withAlignment(type('uint32'), u32(13)), /general.alignment/],
    ['alignment 2^31', withAlignment(type('uint32'), u32(2 ** 31)), /general.alignment/],
    ['alignment of another type', withAlignment(type('uint8'), Buffer.of(32)), /general.alignment/],
    ['no dimensions', withTensors({ shape: [] }), /number of dimensions/],
    ['five dimensions', withTensors({ shape: [1, 1, 1, 1, 1] }), /number of dimensions/],
    ['2^32 - 1 dimensions', withTensors({ dimensions: 0xffffffff }), /number of dimensions/],
    ['a dimension of 0', withTensors({ shape: [32, 0] }), /bad dimension/],
    ['a negative dimension', withTensors({ shape: [-1n] }), /bad dimension/],
    ['a product beyond 2^64', withTensors({ shape: [2n ** 40n, 2n ** 40n] }), /bad shape/],
    ['a size beyond the end', withTensors({ shape: [1_000_000] }), /too short/],
    ['tensor type 4, which was removed', withTensors({ type: 4 }), /unknown type/],
    ['tensor type 2^32 - 1', withTensors({ type: 0xffffffff }), /unknown type/],
    ['rows of half a block', withTensors({ type: 8, shape: [48] }), /bad shape/],
    ['a tensor name of 64 bytes', withTensors({ name: 'n'.repeat(64) }), /too long/],
    ['a tensor without name', withTensors({ name: '' }), /empty tensor name/],
    ['a tensor name that is not UTF-8', withTensors({ name: Buffer.of(0xc0) }), /not UTF-8/],
    ['a tensor twice', withTensors({}, { offset: 128 }), /tensor twice/],
    ['an unaligned offset', withTensors({ offset: 4 }), /wrong offset/],
    ['tensors that overlap', withTensors({ name: 'a' }, { name: 'b', offset: 96 }), /wrong offset/],
    ['a hole between tensors', withTensors({ name: 'a' }, { name: 'b', offset: 160 }), /wrong offset/],
    ['tensors in another order', withTensors({ name: 'a', offset: 128 }, { name: 'b' }), /wrong offset/],
    ['an offset beyond the end', withTensors({ offset: 100_000 }), /beyond its end/],
    ['an offset of 2^64 - 32', withTensors({ offset: -32n }), /beyond its end/],
  ]
  it.each(cases)('%s', async (_, bytes, message) => refuses(bytes, message))

  it('cut off at any byte', async () => {
    const bytes = file(METADATA, TENSORS)
    // The last tensor needs 12 bytes of its 32.
    await writeFile(path, bytes)
    for (let length = bytes.length - 21; length >= 0; length--) {
      await truncate(path, length)
      await expect(readGguf(path)).rejects.toMatchObject({ name: 'TandemError', code: 'invalid-file' })
    }
  })

  it('with any bit flipped is refused in our words, or still describes what is inside the file', async () => {
    const bytes = file(METADATA, TENSORS)
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const byte = bit >> 3
      bytes[byte] = (bytes[byte] ?? 0) ^ (1 << (bit & 7))
      await writeFile(path, bytes)
      try {
        const { tensors } = await readGguf(path)
        for (const { offset, size } of tensors) expect(offset + size).toBeLessThanOrEqual(bytes.length)
      } catch (error) {
        expect(error).toMatchObject({ name: 'TandemError', code: 'invalid-file' })
      }
      bytes[byte] = (bytes[byte] ?? 0) ^ (1 << (bit & 7))
    }
  })
})
