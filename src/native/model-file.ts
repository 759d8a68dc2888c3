import type { WeightTensor } from './addon.ts'

/** A value with the type that it has in the file, in the words of GGUF: `uint32`, `array` of `string`, … */
export interface MetadataValue {
  type: string
  items?: string
  /** Of an array of strings that are not decoded until `value` is asked for. */
  length?: number
  value: unknown
}

/** Entries of an array; 0 for what is none. */
export function arrayLength(entry: MetadataValue | undefined): number {
  if (entry?.length !== undefined) return entry.length
  const value = entry?.value
  return Array.isArray(value) || ArrayBuffer.isView(value) ? (value as ArrayLike<unknown>).length : 0
}

/** What of a GGUF file an engine needs; the file's table has been validated by its reader. */
export interface ModelFile {
  metadata: ReadonlyMap<string, MetadataValue>
  tensors: readonly WeightTensor[]
}

/** `general.architecture`: `t5`, `qwen2`, … */
export function architectureOf(file: ModelFile): string {
  return String(file.metadata.get('general.architecture')?.value)
}

/** A number under the architecture's own prefix, such as `qwen2.block_count`; undefined where the file has none. */
export function architectureNumber(file: ModelFile, key: string): number | undefined {
  const value = file.metadata.get(`${architectureOf(file)}.${key}`)?.value
  return typeof value === 'number' ? value : undefined
}
