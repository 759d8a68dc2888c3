import { parseHeader } from '../../src/formats/safetensors-header.ts'
import { damagedText, mutateJson } from './json-mutation.ts'
import type { Random } from './random.ts'
import { type FuzzTarget, type Outcome, outcomeOf } from './target.ts'

const TYPES = ['F32', 'F16', 'BF16', 'I64', 'U8', 'BOOL', 'F4', 'F6_E2M3', 'C64'] as const
const BITS: Readonly<Record<string, number>> = {
  F32: 32,
  F16: 16,
  BF16: 16,
  I64: 64,
  U8: 8,
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  C64: 64,
}

/** Headers of safetensors files, in memory: the bytes after the length, and the size of the file that they are in. */
export function safetensorsTarget(): FuzzTarget {
  return { run }
}

async function run(random: Random): Promise<Outcome> {
  const { header, dataBytes } = goodHeader(random)
  const document = random.chance(0.8) ? mutateJson(header, random) : header
  const bytes = Buffer.from(damagedText(document, random))
  for (let flips = random.chance(0.1) ? 1 + random.below(4) : 0; flips > 0; flips--) {
    const at = random.below(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
  }
  const fileSize = 8 + bytes.length + dataBytes + (random.chance(0.1) ? random.below(5) - 2 : 0)
  return outcomeOf(() => requireCovered(parseHeader(bytes, fileSize, 'model.safetensors'), 8 + bytes.length, fileSize))
}

/** The promise of the reader: what it accepts lies one after the other, from the header to the end. */
function requireCovered(entries: ReturnType<typeof parseHeader>, start: number, end: number): void {
  let next = start
  for (const { name, offset, size } of entries.toSorted((a, b) => a.offset - b.offset || a.size - b.size)) {
    if (offset !== next || size < 0) throw new Error(`${name} lies at ${offset}, not at ${next}`)
    next += size
  }
  if (next !== end) throw new Error(`The tensors end at ${next}, the file at ${end}`)
}

function goodHeader(random: Random): { header: Record<string, unknown>; dataBytes: number } {
  const header: Record<string, unknown> = {}
  if (random.chance(0.5)) header['__metadata__'] = { format: 'pt' }
  let end = 0
  for (let i = random.below(6); i > 0; i--) {
    const dtype = random.pick(TYPES)
    const shape = Array.from({ length: random.below(4) }, () => random.below(5) * 4)
    const begin = end
    end += (shape.reduce((product, n) => product * n, 1) * (BITS[dtype] ?? 8)) / 8
    header[random.pick([`layer.${i}.weight`, `${i}`, '__proto__', `名${i}`])] = {
      dtype,
      shape,
      data_offsets: [begin, end],
    }
  }
  return { header, dataBytes: end }
}
