import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import type { WrittenType } from '../formats/gguf/types.ts'
import { ENCODER_DECODERS } from './architectures/registry.ts'
import { MIXES, type Mix } from './mixes.ts'

/** What a user may ask for. */
interface QuantizationKind {
  /** What all matrices become, or the rules of a mix. */
  type: WrittenType | Mix
  /** llama.cpp's `llama_ftype`. */
  fileType: number
}

/**
 * By llama.cpp's names. Its `llama-quantize` knows q2_k, q3_k, q4_k, q5_k as names of mixes too; here they mean the type
 * for every matrix, which it calls `--pure`, and a mix is named by its size. Its Q2_K mix, to which it gives no other name
 * on the command line, describes itself as "Q2_K - Medium". The file type of a pure k-quant is that of its small mix.
 */
const KINDS = {
  f32: { type: 'f32', fileType: 0 },
  f16: { type: 'f16', fileType: 1 },
  bf16: { type: 'bf16', fileType: 32 },
  q8_0: { type: 'q8_0', fileType: 7 },
  q4_0: { type: 'q4_0', fileType: 2 },
  q4_1: { type: 'q4_1', fileType: 3 },
  q5_0: { type: 'q5_0', fileType: 8 },
  q5_1: { type: 'q5_1', fileType: 9 },
  q2_k: { type: 'q2_k', fileType: 10 },
  q3_k: { type: 'q3_k', fileType: 11 },
  q4_k: { type: 'q4_k', fileType: 14 },
  q5_k: { type: 'q5_k', fileType: 16 },
  q6_k: { type: 'q6_k', fileType: 18 },
  iq4_nl: { type: 'iq4_nl', fileType: 25 },
  iq4_xs: { type: 'iq4_xs', fileType: 30 },
  mxfp4: { type: 'mxfp4', fileType: 38 },
  q2_k_m: { type: MIXES.q2_k_m, fileType: 10 },
  q3_k_s: { type: MIXES.q3_k_s, fileType: 11 },
  q3_k_m: { type: MIXES.q3_k_m, fileType: 12 },
  q3_k_l: { type: MIXES.q3_k_l, fileType: 13 },
  q4_k_s: { type: MIXES.q4_k_s, fileType: 14 },
  q4_k_m: { type: MIXES.q4_k_m, fileType: 15 },
  q5_k_s: { type: MIXES.q5_k_s, fileType: 16 },
  q5_k_m: { type: MIXES.q5_k_m, fileType: 17 },
} as const satisfies Record<string, QuantizationKind>

/** A type for every matrix, or the name of a mix. */
export type Quantization = keyof typeof KINDS

export const QUANTIZATIONS: Readonly<Record<Quantization, QuantizationKind>> = KINDS

const NAMES = Object.keys(KINDS)

/** All names, for people. */
export const QUANTIZATION_NAMES: string = NAMES.join(', ')

/** @throws TandemError `invalid-argument` for any other name */
export function requireQuantization(name: unknown): Quantization {
  if (isQuantization(name)) return name
  throw new TandemError('invalid-argument', 'quantization is wrong', {
    expected: QUANTIZATION_NAMES,
    received: inspect(name),
  })
}

function isQuantization(name: unknown): name is Quantization {
  return typeof name === 'string' && Object.hasOwn(KINDS, name)
}

/**
 * The rules of the mixes count the layers of one stack.
 * @throws TandemError `unsupported-option` for a mix of an encoder-decoder, which has two
 */
export function requireMixable(quantization: Quantization, architecture: string): void {
  if (!Object.hasOwn(MIXES, quantization) || !ENCODER_DECODERS.has(architecture)) return
  throw new TandemError('unsupported-option', `${quantization} is a mix of types for decoder-only models`, {
    expected: `one type for an encoder-decoder: ${NAMES.filter((name) => !Object.hasOwn(MIXES, name)).join(', ')}`,
    received: `${quantization} for ${architecture}`,
  })
}
