import type { GgufValue } from '../formats/gguf/types.ts'
import { tensorBytes } from '../formats/gguf/types.ts'
import { openFolderSource } from './folder-source.ts'
import { planTensors } from './plan.ts'
import type { Quantization } from './quantization.ts'

/** A tensor of a file that is not written yet. */
export interface PlannedTensor {
  name: string
  /** `ggml_type` numbers: in the new file and in the folder. */
  type: number
  sourceType: number
  /** ggml order: the row length first. */
  shape: number[]
  /** Bytes in the new file; it has no place there yet. */
  size: number
  offset: 0
}

export interface PlannedFile {
  metadata: Map<string, GgufValue>
  tensors: PlannedTensor[]
  warnings: string[]
}

/**
 * The table of the GGUF file that a model folder would be converted to; no weights are read.
 * @throws TandemError as `convert` does
 */
export async function planFile(directory: string, quantization: Quantization): Promise<PlannedFile> {
  const source = await openFolderSource(directory, quantization)
  try {
    const tensors = planTensors(source, quantization, false).map(
      ({ name, type, sourceType, shape }): PlannedTensor => ({
        name,
        type,
        sourceType,
        shape,
        size: tensorBytes(type, shape) ?? 0,
        offset: 0,
      }),
    )
    return { metadata: source.metadata, tensors, warnings: source.warnings }
  } finally {
    await source.close()
  }
}
