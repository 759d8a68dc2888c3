import { encodeHeader } from '../../src/formats/gguf/encode.ts'
import type { GgufTensorInfo, GgufValue } from '../../src/formats/gguf/types.ts'
import { alignUp, tensorBytes, VALUE_TYPES } from '../../src/formats/gguf/types.ts'
import type { Random } from './random.ts'

/** A GGUF file that can be taken apart, changed and put together again. */
export interface GgufDocument {
  metadata: Map<string, GgufValue>
  tensors: GgufTensorInfo[]
}

const NUMBERS = [0, 1, 2, 3, 7, 16, 255, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1] as const
const FLOATS = [0, -1, 1e-30, 1e30, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY] as const
const TEXTS = ['', 'a', '\0', 'qwen2', 't5', 'llama', 'gpt2', 'default', '{}', '中', 'x'.repeat(300)] as const

/** The header of a document: right in itself, whatever the document holds. */
export function encodeDocument({ metadata, tensors }: GgufDocument): { header: Buffer; sizes: number[] } {
  const sizes = tensors.map(({ type, shape }) => tensorBytes(type, shape) ?? 0)
  const { pieces } = encodeHeader(metadata, tensors, sizes)
  return { header: Buffer.concat(pieces), sizes: sizes.map((size) => alignUp(size, 32)) }
}

/** A copy in which one to three fields hold something else. */
export function mutateDocument({ metadata, tensors }: GgufDocument, random: Random): GgufDocument {
  const changed = { metadata: new Map(metadata), tensors: tensors.map((tensor) => ({ ...tensor })) }
  const changes = 1 + random.below(3)
  for (let i = 0; i < changes; i++) {
    if (random.chance(0.6)) mutateMetadata(changed.metadata, random)
    else mutateTensors(changed.tensors, random)
  }
  return changed
}

function mutateMetadata(metadata: Map<string, GgufValue>, random: Random): void {
  const keys = [...metadata.keys()]
  const key = keys[random.below(keys.length)] ?? ''
  const value = metadata.get(key)
  const way = random.below(6)
  if (way === 0 || value === undefined) metadata.delete(key)
  else if (way === 1) metadata.set(key, metadata.get(keys[random.below(keys.length)] ?? '') ?? value)
  else if (way === 2) metadata.set(key, anyValue(random))
  else metadata.set(key, nearby(value, random))
}

function nearby(value: GgufValue, random: Random): GgufValue {
  if (value.type === 'string') return { type: 'string', value: nearbyText(String(value.value), random) }
  if (value.type === 'bool') return { type: 'bool', value: !value.value }
  if (value.type === 'array') return nearbyArray(value, random)
  if (value.type === 'uint64' || value.type === 'int64') return { ...value, value: BigInt(random.pick(NUMBERS)) }
  if (value.type === 'float32' || value.type === 'float64') return { ...value, value: Math.fround(random.pick(FLOATS)) }
  const number = random.chance(0.5) ? Number(value.value) + random.below(5) - 2 : random.pick(NUMBERS)
  return { type: 'uint32', value: Math.min(Math.max(0, number), 2 ** 32 - 1) }
}

function nearbyText(text: string, random: Random): string {
  const at = random.below(text.length + 1)
  return random.pick([
    text.slice(0, at),
    text.slice(at),
    `${text.slice(0, at)}${random.pick(TEXTS)}${text.slice(at)}`,
    random.pick(TEXTS),
  ])
}

function nearbyArray(value: GgufValue & { type: 'array' }, random: Random): GgufValue {
  const { length } = value.value
  if (value.items === 'string') {
    const at = random.below(length + 1)
    const strings = [...value.value]
    return {
      ...value,
      value: random.pick([strings.slice(0, at), strings.toSpliced(at, 1, random.pick(TEXTS)), [...strings, 'more']]),
    }
  }
  if (value.items === 'bool') return { ...value, value: value.value.slice(1) }
  if (value.items === 'uint64' || value.items === 'int64')
    return { type: 'array', items: 'uint8', value: new Uint8Array(8) }
  const numbers = value.value.slice(0, random.chance(0.5) ? random.below(length + 1) : length)
  if (numbers.length > 0) numbers[random.below(numbers.length)] = random.pick(random.chance(0.5) ? NUMBERS : FLOATS)
  return { ...value, value: numbers } as GgufValue
}

function anyValue(random: Random): GgufValue {
  const type = random.pick(VALUE_TYPES)
  if (type === 'string') return { type, value: random.pick(TEXTS) }
  if (type === 'bool') return { type, value: random.chance(0.5) }
  if (type === 'array')
    return { type, items: 'uint8', value: Uint8Array.from({ length: random.below(300) }, () => random.below(256)) }
  if (type === 'uint64' || type === 'int64') return { type, value: BigInt(random.pick(NUMBERS)) }
  if (type === 'float32' || type === 'float64') return { type, value: Math.fround(random.pick(FLOATS)) }
  return { type, value: random.below(128) }
}

/** Types that a tensor could claim: those with plain rows, and some with blocks. */
const TYPES = [0, 1, 2, 3, 8, 10, 12, 14, 20, 24, 26, 27, 28, 30, 39] as const

function mutateTensors(tensors: GgufTensorInfo[], random: Random): void {
  const at = random.below(tensors.length)
  const tensor = tensors[at]
  if (tensor === undefined) return
  const other = tensors[random.below(tensors.length)] ?? tensor
  const way = random.below(7)
  if (way === 0) tensors.splice(at, 1)
  else if (way === 1) tensors.push({ ...tensor, name: `${tensor.name.slice(0, 50)}${random.below(9)}` })
  else if (way === 2) tensor.shape = [...other.shape]
  else if (way === 3) tensor.shape = [...tensor.shape].reverse()
  else if (way === 4) tensor.shape = tensor.shape.map((n) => Math.max(1, n + 32 * (random.below(3) - 1)))
  else if (way === 5) [tensor.name, other.name] = [other.name, tensor.name]
  else tensor.type = random.pick(TYPES)
}
