import { GGML_BF16, GGML_F16, GGML_F32, GGML_Q8_0, TENSOR_TYPES } from '../formats/gguf/types.ts'
import type { TensorRule } from './architectures/architecture.ts'

/** What most weights of a file become. `type` is a `ggml_type`, `fileType` llama.cpp's `llama_ftype`. */
export const QUANTIZATIONS = {
  f32: { type: GGML_F32, fileType: 0 },
  f16: { type: GGML_F16, fileType: 1 },
  bf16: { type: GGML_BF16, fileType: 32 },
  q8_0: { type: GGML_Q8_0, fileType: 7 },
} as const

export type Quantization = keyof typeof QUANTIZATIONS

/**
 * The type of one tensor, by the rules of llama.cpp's converter: vectors and norms are f32, and rows that are no whole
 * number of blocks fall back to f16.
 */
export function tensorType(rule: TensorRule, quantization: Quantization): number {
  const rowLength = rule.shape.at(-1) ?? 0
  if (rule.precision === 'always-f32' || rule.shape.length < 2 || rule.to.endsWith('_norm.weight')) return GGML_F32
  const { type } = QUANTIZATIONS[quantization]
  const fits = rowLength % (TENSOR_TYPES.get(type)?.blockSize ?? 1) === 0
  const chosen = fits ? type : GGML_F16
  return chosen === GGML_F16 && rule.precision === 'f32-for-f16' ? GGML_F32 : chosen
}
