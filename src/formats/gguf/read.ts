import { open } from 'node:fs/promises'
import { describeFileError, requireFile } from '../files.ts'
import { Cursor } from './cursor.ts'
import {
  DEFAULT_ALIGNMENT,
  MAX_ALIGNMENT,
  MAX_ARRAY_ITEMS,
  MAX_KEY_BYTES,
  MAX_METADATA_KEYS,
  MAX_STRING_BYTES,
  MAX_STRINGS,
  MAX_TENSORS,
  SUPPORTED_VERSIONS,
} from './limits.ts'
import { StoredStrings } from './stored-strings.ts'
import { placeTensors, readTensors } from './tensor-table.ts'
import type { GgufFile, GgufValue, GgufValueType } from './types.ts'
import { VALUE_BYTES, VALUE_TYPES } from './types.ts'
import { decodeNumbers, decodeScalar } from './values.ts'

export type { GgufFile } from './types.ts'

/** "GGUF", read as a little-endian number. */
const MAGIC = 0x46554747

/**
 * Reads everything but the tensors' data and checks it against the size of the file: what this accepts, llama.cpp's
 * loader can open without looking outside the file.
 * @throws TandemError `not-found`, `io`, or `invalid-file` with what was expected
 */
export async function readGguf(path: string): Promise<GgufFile> {
  const size = await requireFile(path)
  try {
    const handle = await open(path, 'r')
    try {
      return await parseGguf(new Cursor(handle, path, size))
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw describeFileError(cause, `${path} cannot be read`)
  }
}

/** The same from any source of bytes, with the cursor at its beginning. */
export async function parseGguf(cursor: Cursor): Promise<GgufFile> {
  await cursor.need(Math.min(24, Math.max(cursor.fileSize, 1)), 'the file header')
  if (!cursor.has(4) || cursor.uint32() !== MAGIC) throw cursor.notGguf()
  await cursor.need(20, 'the file header')
  const version = cursor.uint32()
  if (!SUPPORTED_VERSIONS.includes(version)) {
    throw cursor.invalid('has an unknown GGUF version', SUPPORTED_VERSIONS.join(' or '), `${version}`)
  }
  // 24 and 13 bytes are the smallest description of a tensor and of a value: an honest file has room for all of them.
  const tensorCount = count(cursor, 'tensors', 24, MAX_TENSORS)
  const keyCount = count(cursor, 'metadata keys', 13, MAX_METADATA_KEYS)
  const metadata = await readMetadata(cursor, keyCount)
  const alignment = alignmentOf(cursor, metadata)
  const tensors = await readTensors(cursor, tensorCount)
  placeTensors(cursor, tensors, alignment)
  return { version, alignment, metadata, tensors }
}

function count(cursor: Cursor, what: string, smallest: number, limit: number): number {
  const claimed = cursor.size()
  const most = Math.min(limit, Math.floor(cursor.remaining / smallest))
  if (claimed > most) throw cursor.invalid(`claims too many ${what}`, `at most ${most}`, `${claimed}`)
  return claimed
}

async function readMetadata(cursor: Cursor, keyCount: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>()
  let strings = 0
  for (let i = 0; i < keyCount; i++) {
    const key = await cursor.name('metadata key', MAX_KEY_BYTES)
    if (metadata.has(key)) throw cursor.invalid('has a metadata key twice', 'each key once', JSON.stringify(key))
    await cursor.need(4, `the value of ${key}`)
    const type = valueType(cursor, key)
    const value = type === 'array' ? await readArray(cursor, key) : await readScalar(cursor, key, type)
    if (value instanceof StoredStrings) strings += value.length
    if (strings > MAX_STRINGS) throw cursor.invalid('has too many strings', `at most ${MAX_STRINGS}`, `more at ${key}`)
    metadata.set(key, value)
  }
  return metadata
}

function valueType(cursor: Cursor, key: string): GgufValueType {
  const number = cursor.uint32()
  const type = VALUE_TYPES[number]
  if (type === undefined) {
    throw cursor.invalid(`has an unknown value type at ${key}`, `0 to ${VALUE_TYPES.length - 1}`, `${number}`)
  }
  return type
}

async function readScalar(cursor: Cursor, key: string, type: Exclude<GgufValueType, 'array'>): Promise<GgufValue> {
  if (type === 'string') return { type, value: await cursor.string(`value of ${key}`) }
  await cursor.need(VALUE_BYTES[type], `the value of ${key}`)
  const value = decodeScalar(type, cursor.bytes(VALUE_BYTES[type]))
  if (value === undefined) throw cursor.invalid(`has a bad truth value at ${key}`, '0 or 1', 'another byte')
  return value
}

async function readArray(cursor: Cursor, key: string): Promise<GgufValue> {
  await cursor.need(12, `the value of ${key}`)
  const items = valueType(cursor, key)
  // llama.cpp's loader refuses arrays of arrays as well, so no file that it runs has them.
  if (items === 'array')
    throw cursor.invalid(`has nested arrays at ${key}`, 'an array of plain values', 'an array of arrays')
  const itemBytes = items === 'string' ? 8 : VALUE_BYTES[items]
  const length = count(cursor, `items in ${key}`, itemBytes, MAX_ARRAY_ITEMS)
  if (items === 'string') return readStrings(cursor, key, length)
  await cursor.need(length * itemBytes, `the value of ${key}`)
  const value = decodeNumbers(items, cursor.bytes(length * itemBytes))
  if (value === undefined) throw cursor.invalid(`has a bad truth value in ${key}`, '0 or 1', 'another byte')
  return value
}

async function readStrings(cursor: Cursor, key: string, length: number): Promise<StoredStrings> {
  const strings = new StoredStrings(length)
  for (let stored = cursor.storeStrings(length, strings); stored < length; ) {
    // The next one goes beyond the window.
    await cursor.need(8, key)
    const bytes = cursor.nextSize()
    const most = Math.min(MAX_STRING_BYTES, cursor.remaining - 8)
    if (bytes > most)
      throw cursor.invalid(`has a string in ${key} that is too long`, `at most ${most} bytes`, `${bytes}`)
    await cursor.need(8 + bytes, key)
    stored += cursor.storeStrings(length - stored, strings)
  }
  return strings
}

function alignmentOf(cursor: Cursor, metadata: Map<string, GgufValue>): number {
  const entry = metadata.get('general.alignment')
  if (entry === undefined) return DEFAULT_ALIGNMENT
  const alignment = entry.type === 'uint32' ? entry.value : 0
  const isPowerOfTwo = Number.isInteger(Math.log2(alignment))
  if (!isPowerOfTwo || alignment > MAX_ALIGNMENT) {
    const received = entry.type === 'uint32' ? `${alignment}` : `a value of type ${entry.type}`
    throw cursor.invalid('has a bad general.alignment', `a uint32 power of two up to ${MAX_ALIGNMENT}`, received)
  }
  return alignment
}
