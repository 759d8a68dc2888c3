import type { Cursor } from './cursor.ts'
import { MAX_DIMENSIONS, MAX_TENSOR_NAME_BYTES } from './limits.ts'
import type { GgufTensor } from './types.ts'
import { alignUp, TENSOR_TYPES, tensorBytes } from './types.ts'

/** The descriptions of `tensorCount` tensors, with offsets as they stand in the file. */
export async function readTensors(cursor: Cursor, tensorCount: number): Promise<GgufTensor[]> {
  const tensors: GgufTensor[] = []
  const names = new Set<string>()
  for (let i = 0; i < tensorCount; i++) {
    const name = await cursor.name('tensor name', MAX_TENSOR_NAME_BYTES)
    if (names.has(name)) throw cursor.invalid('has a tensor twice', 'each name once', JSON.stringify(name))
    names.add(name)
    tensors.push(await readTensor(cursor, name))
  }
  return tensors
}

async function readTensor(cursor: Cursor, name: string): Promise<GgufTensor> {
  await cursor.need(4, `tensor ${name}`)
  const dimensions = cursor.uint32()
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw cursor.invalid(`has a bad number of dimensions of ${name}`, `1 to ${MAX_DIMENSIONS}`, `${dimensions}`)
  }
  await cursor.need(dimensions * 8 + 12, `tensor ${name}`)
  const shape = Array.from({ length: dimensions }, () => cursor.size())
  const bad = shape.find((dimension) => dimension < 1 || !Number.isSafeInteger(dimension))
  if (bad !== undefined) throw cursor.invalid(`has a bad dimension of ${name}`, '1 to 2^53 - 1', `${bad}`)
  const type = cursor.uint32()
  const kind = TENSOR_TYPES.get(type)
  if (kind === undefined) throw cursor.invalid(`has an unknown type of ${name}`, 'a ggml type', `${type}`)
  const size = tensorBytes(type, shape)
  if (size === undefined) {
    const expected = `rows of whole ${kind.name} blocks of ${kind.blockSize} in less than 2^53 bytes`
    throw cursor.invalid(`has a bad shape of ${name}`, expected, `[${shape.join(', ')}]`)
  }
  const offset = cursor.size()
  if (offset > cursor.fileSize) {
    throw cursor.invalid(`has ${name} beyond its end`, `an offset below ${cursor.fileSize}`, `${offset}`)
  }
  return { name, type, shape, offset, size }
}

/**
 * Makes offsets absolute. Tensors must lie one after the other with nothing but padding between them, as llama.cpp's
 * loader demands: that leaves no room for overlaps, holes or unaligned data.
 */
export function placeTensors(cursor: Cursor, tensors: GgufTensor[], alignment: number): void {
  const start = alignUp(cursor.position, alignment)
  let next = 0
  for (const tensor of tensors) {
    if (tensor.offset !== next) {
      throw cursor.invalid(
        `has ${tensor.name} at a wrong offset`,
        `${next}, after the tensor before it`,
        `${tensor.offset}`,
      )
    }
    next += alignUp(tensor.size, alignment)
    tensor.offset += start
    if (tensor.offset + tensor.size > cursor.fileSize) {
      const expected = `${tensor.offset + tensor.size} bytes for ${tensor.name}`
      throw cursor.invalid('is too short for its tensors', expected, `${cursor.fileSize}`)
    }
  }
}
