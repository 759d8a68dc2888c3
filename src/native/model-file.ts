import type { WeightTensor } from './addon.ts'

/** What of a GGUF file an engine needs; the file's table has been validated by its reader. */
export interface ModelFile {
  metadata: ReadonlyMap<string, { value: unknown }>
  tensors: readonly WeightTensor[]
}
