import type { GgufValue } from '../../formats/gguf/types.ts'
import type { Fields } from '../fields.ts'
import type { Module } from './module.ts'

/** llama.cpp's own limit (`LLAMA_MAX_LAYERS`). */
export const MAX_BLOCKS = 512

/** The largest published vocabularies have 262,144; every row becomes a token in memory. */
export const MAX_VOCABULARY = 1_048_576

/** One tensor, or with {@link forEachBlock} one of every block: where it comes from and what becomes of it. */
export interface TensorRule {
  /** Name in GGUF. */
  to: string
  /** Name in the Hugging Face checkpoint; of several spellings the first that is there counts, the others are left out. */
  from: string | readonly string[]
  /** Shape in the checkpoint, row-major. */
  shape: readonly number[]
  /** The checkpoint may lack it. */
  optional?: boolean
  /** Multiplied into every value, in f32. Only for tensors that stay f32. */
  scale?: number
}

/** A model of one architecture: everything that its config.json decides. */
export interface Model {
  /** llama.cpp's `general.architecture`, the prefix of its keys. */
  architecture: string
  /** Rows of the embedding. */
  vocabularySize: number
  /** Metadata without the prefix. */
  keys: Readonly<Record<string, GgufValue>>
  tensors: readonly TensorRule[]
  /** Endings of checkpoint names that the model does not use. */
  ignored: readonly string[]
  /** The model as transformers builds it, for people. */
  modules: Module
}

/** Reads config.json; throws TandemError `invalid-file` or `unsupported-model`. */
export type Architecture = (config: Fields) => Model

/** The rules once for each block, `{}` replaced by its number. */
export function forEachBlock(blocks: number, rules: readonly TensorRule[]): TensorRule[] {
  return Array.from({ length: blocks }, (_, block) =>
    rules.map((rule) => ({
      ...rule,
      to: rule.to.replace('{}', `${block}`),
      from: [rule.from].flat().map((name) => name.replace('{}', `${block}`)),
    })),
  ).flat()
}

export const uint32 = (value: number): GgufValue => ({ type: 'uint32', value })
export const float32 = (value: number): GgufValue => ({ type: 'float32', value })
export const string = (value: string): GgufValue => ({ type: 'string', value })
