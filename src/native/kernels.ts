import { TandemError } from '../errors.ts'
import type { Addon } from './addon.ts'

/** Types of ggml that packed kernels multiply (`packed_type` in native/engine/packed_types.h). */
export const PACKED_TYPES: readonly string[] = ['q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'q4_k', 'q5_k', 'q6_k']

/** What can multiply matrices of these types on a CPU; each but ggml is named after the instructions that it needs. */
export const KERNELS = ['ggml', 'avx2', 'avxvnni', 'avx512vnni'] as const
export type Kernels = (typeof KERNELS)[number]

/**
 * The fastest kernels of this processor, or those that the environment variable `TANDEM_KERNELS` names.
 *
 * @throws TandemError `invalid-argument` for an unknown name or one that this processor cannot run.
 */
export function chooseKernels(native: Addon): Kernels {
  const available = KERNELS.filter((name) => name === 'ggml' || native.kernels().includes(name))
  const wanted = process.env['TANDEM_KERNELS']
  if (wanted === undefined || wanted === '') return fastest(native)
  const found = available.find((name) => name === wanted)
  if (found !== undefined) return found
  const isKnown = KERNELS.some((name) => name === wanted)
  throw new TandemError(
    'invalid-argument',
    isKnown ? 'TANDEM_KERNELS names instructions that this processor lacks' : 'TANDEM_KERNELS is unknown',
    { expected: available.join(', '), received: wanted, remedy: 'Unset TANDEM_KERNELS to get the fastest' },
  )
}

function fastest(native: Addon): Kernels {
  const [first] = native.kernels()
  return KERNELS.find((name) => name === first) ?? 'ggml'
}

/**
 * Whether there will be packed kernels, as far as can be told without opening the library: every x64 processor since 2013
 * has some.
 */
export function mayHavePackedKernels(): boolean {
  return process.arch === 'x64' && process.env['TANDEM_KERNELS'] !== 'ggml'
}

/**
 * Whether T5's attention over heads of this size will then be computed by them (`has_attention_kernel` in
 * native/engine/attention_operations.cpp).
 */
export function mayHaveAttentionKernel(headSize: number): boolean {
  return mayHavePackedKernels() && headSize % 16 === 0 && headSize <= 256
}
