import type { GgufTensorInfo, GgufValue } from '../formats/gguf/types.ts'

/** A tensor of the source under its name in GGUF. */
export interface SourceTensor extends GgufTensorInfo {
  /** `ggml_type` of its bytes in the source; `type` is what it keeps where it is not quantised. */
  sourceType: number
  /** Bytes in the source. */
  sourceSize: number
  /** Multiplied into every value; 1 leaves them as they are. */
  scale: number
  /** Fills `target` with its bytes from `position` on. */
  read: (position: number, target: Uint8Array) => Promise<void>
}

/** What is converted: a model folder or a GGUF file. */
export interface Source {
  /** `general.architecture`. */
  architecture: string
  /** Of the new file. */
  metadata: Map<string, GgufValue>
  /** In the order of the new file. */
  tensors: SourceTensor[]
  /** What is strange but does no harm. */
  warnings: string[]
  close: () => Promise<void>
}
