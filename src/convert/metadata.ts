import type { GgufValue } from '../formats/gguf/types.ts'
import type { Model } from './architectures/architecture.ts'
import { fieldsOf, type ModelFolder } from './folder.ts'
import { QUANTIZATIONS, type Quantization } from './quantization.ts'
import { specialTokenKeys } from './special-tokens.ts'
import { vocabularyKeys } from './vocabulary.ts'

/** Part of every file and of a cache's key: raised whenever the same folder would become another file. */
export const converterVersion = 1

/** `GGML_QNT_VERSION` of ggml.h: the layout of the quantised blocks. */
const QUANTIZATION_VERSION = 2

/** All keys of the new file: general ones, the architecture's, the tokenizer's, and the folder's own files as text. */
export function describeFile(folder: ModelFolder, model: Model, quantization: Quantization): Map<string, GgufValue> {
  const architectureKeys = Object.entries(model.keys).map(
    ([key, value]) => [`${model.architecture}.${key}`, value] as const,
  )
  return new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: model.architecture }],
    ['general.type', { type: 'string', value: 'model' }],
    ['general.name', { type: 'string', value: folder.name }],
    ...architectureKeys,
    ...ggmlKeys(quantization),
    ...Object.entries(vocabularyKeys(fieldsOf(folder.tokenizer, 'tokenizer.json'), model.vocabularySize)),
    ...Object.entries(specialTokenKeys(folder, model.vocabularySize)),
    ['tandem.converter_version', { type: 'uint32', value: converterVersion }],
    tandemKey(quantization),
    ...folderKeys(folder),
  ])
}

/** The keys that say how the weights are stored. */
export function quantizationKeys(quantization: Quantization): [string, GgufValue][] {
  return [...ggmlKeys(quantization), tandemKey(quantization)]
}

function ggmlKeys(quantization: Quantization): [string, GgufValue][] {
  return [
    ['general.file_type', { type: 'uint32', value: QUANTIZATIONS[quantization].fileType }],
    ['general.quantization_version', { type: 'uint32', value: QUANTIZATION_VERSION }],
  ]
}

function tandemKey(quantization: Quantization): [string, GgufValue] {
  return ['tandem.quantization', { type: 'string', value: quantization }]
}

/** With these the file alone answers as the folder does. */
function folderKeys(folder: ModelFolder): [string, GgufValue][] {
  const texts: [string, string | undefined][] = [
    ['tokenizer.huggingface.json', folder.tokenizer.text],
    ['tandem.config', folder.config.text],
    ['tandem.tokenizer_config', folder.tokenizerConfig?.text],
    ['tandem.generation_config', folder.generationConfig?.text],
  ]
  return texts.flatMap(([key, value]) => (value === undefined ? [] : [[key, { type: 'string', value }]]))
}
