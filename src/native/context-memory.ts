import { TandemError } from '../errors.ts'
import type { NativeDevice } from './addon.ts'
import { architectureNumber, type ModelFile } from './model-file.ts'

/** Book-keeping of one cell beside its keys and values: position, sequence set, free list. Rounded up. */
const CELL_OVERHEAD = 64

/**
 * Refuses a context that the device could never hold, before native code asks for the memory: the system would hand it
 * out and end the process later.
 *
 * @throws TandemError `out-of-memory`
 */
export function checkContextMemory(
  file: ModelFile,
  device: NativeDevice,
  { contextSize, kvType }: { contextSize: number; kvType: 'f32' | 'f16' },
): void {
  const needed = contextSize * cellBytes(file, kvType)
  if (needed <= device.memoryTotal || device.memoryTotal === 0) return
  throw new TandemError('out-of-memory', `A context of ${contextSize} tokens does not fit on ${device.name}`, {
    expected: `at most ${gibibytes(device.memoryTotal)}`,
    received: gibibytes(needed),
    remedy: 'Choose a smaller contextSize (--context-size)',
  })
}

/** Bytes of the keys and values that one token keeps over all layers of the decoder. */
export function cellBytes(file: ModelFile, kvType: 'f32' | 'f16'): number {
  return valuesPerCell(file) * (kvType === 'f32' ? 4 : 2) + CELL_OVERHEAD
}

/** Elements of keys and values that one token keeps over all layers; 0 where the file does not say. */
function valuesPerCell(file: ModelFile): number {
  const number = (key: string) => architectureNumber(file, key)
  const layers = number('decoder_block_count') ?? number('block_count') ?? 0
  const heads = number('attention.head_count') ?? 1
  const keyValueHeads = number('attention.head_count_kv') ?? heads
  const keyLength = number('attention.key_length') ?? (number('embedding_length') ?? 0) / heads
  const valueLength = number('attention.value_length') ?? keyLength
  return layers * keyValueHeads * (keyLength + valueLength)
}

/** A size of memory as messages give it. */
export function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`
}
