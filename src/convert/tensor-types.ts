import type { GgufTensorInfo, GgufValue, WrittenType } from '../formats/gguf/types.ts'
import { GGML_TYPES, holdsRows } from '../formats/gguf/types.ts'
import { F32_FOR_F16 } from './architectures/registry.ts'
import { mixedTypes } from './mixes.ts'
import { QUANTIZATIONS, type Quantization } from './quantization.ts'

/** The `ggml_type` that a tensor gets, and the one that was asked for, which its rows may not fit. */
export interface TypeChoice {
  type: number
  wanted: number
}

/**
 * Types for all tensors of a model, chosen as llama_model_quantize chooses them.
 * @param tensors with the types that they keep where they are no matrices to be quantised
 * @param metadata of the model, with the numbers that the mixes ask for
 */
export function chooseTypes(
  tensors: readonly GgufTensorInfo[],
  metadata: ReadonlyMap<string, GgufValue>,
  quantization: Quantization,
): Map<string, TypeChoice> {
  const { type } = QUANTIZATIONS[quantization]
  const matrices = tensors.filter(isQuantizable)
  const typeOf = typeof type === 'string' ? () => type : mixedTypes(type, matrices, metadata)
  const f32ForF16 = F32_FOR_F16.get(String(metadata.get('general.architecture')?.value))
  const choices = new Map(tensors.map((tensor) => [tensor.name, { type: tensor.type, wanted: tensor.type }]))
  for (const matrix of matrices) {
    const wanted = typeOf(matrix)
    const number = (chosen: WrittenType) =>
      GGML_TYPES[chosen === 'f16' && f32ForF16?.test(matrix.name) ? 'f32' : chosen]
    choices.set(matrix.name, { type: number(fitting(wanted, matrix.shape[0] ?? 0)), wanted: number(wanted) })
  }
  return choices
}

/** What takes the place of a type with blocks of 256 values, in `tensor_type_fallback` of llama.cpp. */
const FALLBACKS: Readonly<Partial<Record<WrittenType, WrittenType>>> = {
  q2_k: 'q4_0',
  q3_k: 'q4_0',
  q4_k: 'q5_0',
  q5_k: 'q5_1',
  q6_k: 'q8_0',
  iq4_xs: 'iq4_nl',
}

function fitting(wanted: WrittenType, rowLength: number): WrittenType {
  if (holdsRows(wanted, rowLength)) return wanted
  const smaller = FALLBACKS[wanted]
  return smaller !== undefined && holdsRows(smaller, rowLength) ? smaller : 'f16'
}

/** Matrices that stay as they are, by a part of their names: `tensor_allows_quantization` of llama.cpp. */
const KEPT = [
  '_norm.weight',
  'ffn_gate_inp.weight',
  'ffn_gate_tid2eid.weight',
  'altup',
  'laurel',
  'per_layer_model_proj',
  'ssm_conv1d',
  'shortconv.conv.weight',
  'indexer.k_proj.weight',
  'indexer.q_proj.weight',
  ...[
    'first',
    'w0',
    'w1',
    'w2',
    'v0',
    'v1',
    'v2',
    'a0',
    'a1',
    'a2',
    'g1',
    'g2',
    'decay_w1',
    'decay_w2',
    'lerp_fused',
  ].map((part) => `time_mix_${part}.weight`),
  'attn_rel_b.weight',
  '.position_embd',
  'sam.pos_embd',
  'sam.neck.',
  'sam.net_',
  '.rel_pos',
  '.patch_embd',
  '.patch_merger',
  'a.rvq.codebook',
  'mm.a.code_embd',
]
const KEPT_NAMES = ['position_embd.weight', 'token_types.weight']

/** Vectors, norms and what is small or delicate keep their type. Dimensions of 1 at the end do not count in ggml. */
function isQuantizable({ name, shape }: GgufTensorInfo): boolean {
  if (!shape.some((dimension, i) => i > 0 && dimension > 1) || !name.endsWith('weight')) return false
  return !KEPT_NAMES.includes(name) && !KEPT.some((part) => name.includes(part))
}
