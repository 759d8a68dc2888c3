import type { FileHandle } from 'node:fs/promises'
import { Cursor } from '../../src/formats/gguf/cursor.ts'
import { parseGguf } from '../../src/formats/gguf/read.ts'
import type { GgufFile, GgufTensorInfo, GgufValue } from '../../src/formats/gguf/types.ts'
import { encodeDocument, type GgufDocument, mutateDocument } from './gguf-document.ts'
import type { Random } from './random.ts'
import { type FuzzTarget, type Outcome, outcomeOf } from './target.ts'

const SEED: GgufDocument = {
  metadata: new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'test' }],
    ['a.uint8', { type: 'uint8', value: 255 }],
    ['a.int16', { type: 'int16', value: -32_768 }],
    ['a.uint32', { type: 'uint32', value: 4_294_967_295 }],
    ['a.float32', { type: 'float32', value: 0.5 }],
    ['a.bool', { type: 'bool', value: true }],
    ['a.uint64', { type: 'uint64', value: 18_446_744_073_709_551_615n }],
    ['a.float64', { type: 'float64', value: Math.PI }],
    ['a.strings', { type: 'array', items: 'string', value: ['', '你好', Uint8Array.of(0xff, 0xfe)] }],
    ['a.bools', { type: 'array', items: 'bool', value: [true, false] }],
    ['a.floats', { type: 'array', items: 'float32', value: Float32Array.of(1.5, -2) }],
    ['a.longs', { type: 'array', items: 'uint64', value: BigUint64Array.of(1n, 2n) }],
    ['a.empty', { type: 'array', items: 'int32', value: new Int32Array(0) }],
  ]),
  tensors: [
    { name: 'norm', type: 0, shape: [5] },
    { name: 'weight', type: 8, shape: [64, 3] },
    { name: 'last', type: 1, shape: [3, 1, 2, 1] },
  ],
}

/** Places in a file where a count, a length, a type or an offset could stand, and what they could hold. */
const LONGS = [0n, 1n, 2n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 32n] as const
const INTS = [0, 1, 2, 8, 9, 12, 13, 99, 2 ** 31, 2 ** 32 - 1] as const

/** Whole GGUF files in memory: changed in what they hold, then in their bytes. */
export function ggufTarget(): FuzzTarget {
  return { run }
}

async function run(random: Random): Promise<Outcome> {
  const document = random.chance(0.5) ? mutateDocument(SEED, random) : SEED
  const { header, sizes } = encodeDocument(document)
  const bytes = Buffer.concat([header, Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0))])
  const isChanged = random.chance(0.8)
  const file = isChanged ? damaged(bytes, header.length, random) : bytes
  let parsed: GgufFile | undefined
  const outcome = await outcomeOf(async () => {
    parsed = await parseGguf(new Cursor(inMemory(file), 'model.gguf', file.length))
  })
  if (parsed !== undefined) requireInside(parsed, file.length)
  if (parsed !== undefined && !isChanged) requireSame(parsed, document)
  return outcome
}

function damaged(bytes: Buffer, headerLength: number, random: Random): Buffer {
  const file = Buffer.from(bytes)
  const changes = 1 + random.below(3)
  for (let i = 0; i < changes; i++) {
    const at = random.below(headerLength - 8)
    const way = random.below(4)
    if (way === 0) file[at] = (file[at] ?? 0) ^ (1 << random.below(8))
    else if (way === 1) file.writeUInt32LE(random.pick(INTS), at)
    else if (way === 2) file.writeBigUInt64LE(random.pick(LONGS), random.chance(0.3) ? random.pick([8, 16]) : at)
    else file[at] = random.below(256)
  }
  return random.chance(0.1) ? file.subarray(0, random.below(file.length + 1)) : file
}

/** As much of a file handle as a cursor uses. */
function inMemory(file: Buffer): FileHandle {
  const read = async (target: Uint8Array, start: number, length: number, position: number) => {
    const piece = file.subarray(position, position + length)
    target.set(piece, start)
    return { bytesRead: piece.length, buffer: target }
  }
  return { read } as unknown as FileHandle
}

/** The promise of the reader: llama.cpp can open what it accepts without looking outside the file. */
function requireInside({ tensors, alignment }: GgufFile, length: number): void {
  let next = 0
  for (const { name, offset, size } of tensors) {
    const isPlaced = Number.isSafeInteger(offset) && offset >= next && offset % alignment === 0
    if (!isPlaced || size < 0 || offset + size > length)
      throw new Error(`${name} lies at ${offset}, ${size} bytes of ${length}`)
    next = offset + size
  }
}

/** What was written comes back. */
function requireSame({ metadata, tensors }: GgufFile, document: GgufDocument): void {
  const plain = ({ name, type, shape }: GgufTensorInfo): unknown => [name, type, shape]
  const shown = (value: unknown): string =>
    JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))
  const same = shown([...metadata]) === shown([...document.metadata])
  if (!same || shown(tensors.map(plain)) !== shown(document.tensors.map(plain)))
    throw new Error('Another file came back')
}
