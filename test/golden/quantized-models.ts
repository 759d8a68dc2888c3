import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FolderDescription } from './convert-folder.ts'

/** A small model and what llama_model_quantize makes of it, by scripts/golden/quantize_reference.py. */
export interface QuantizedModel {
  folder: FolderDescription
  /** `general.file_type` by our names. */
  fileTypes: Record<string, number>
  tensors: string[]
  /** For each of `tensors` its type and the first digits of its SHA-256. */
  expected: Record<string, string[]>
  /** The same for files that were quantised twice, by both types. */
  requantized: Record<string, string[]>
}

export function quantizedModels(): Record<string, QuantizedModel> {
  return readGolden('models')
}

export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`quantize/${name}.json`, import.meta.url)), 'utf8')) as T
}
