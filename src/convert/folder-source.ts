import { TandemError } from '../errors.ts'
import { makeBackend } from '../tokenizer/backend.ts'
import { parseTokenizerConfig } from '../tokenizer/config.ts'
import { readModel } from './architectures/registry.ts'
import { fieldsOf, type ModelFolder, openFolder } from './folder.ts'
import { folderTensors } from './folder-tensors.ts'
import { describeFile } from './metadata.ts'
import type { Quantization } from './quantization.ts'
import type { Source } from './source.ts'
import { checkSpecialTokenIds } from './special-token-ids.ts'

/**
 * A Hugging Face model folder as what is converted.
 * @throws TandemError `not-found`, `invalid-file`, `unsupported-model` or `io`
 */
export async function openFolderSource(directory: string, quantization: Quantization): Promise<Source> {
  const folder = await openFolder(directory)
  try {
    const model = readModel(fieldsOf(folder.config, 'config.json'))
    // First the weights: that config.json is not theirs is the mistake to report, not what follows from it.
    const { tensors, unknown } = folderTensors(model, folder.weights)
    const warnings = [
      ...unknown,
      ...checkTokenizer(folder, model.vocabularySize),
      ...checkSpecialTokenIds(folder, model.vocabularySize),
    ]
    return {
      architecture: model.architecture,
      metadata: describeFile(folder, model, quantization),
      tensors,
      warnings,
      close: () => folder.weights.close(),
    }
  } catch (error) {
    await folder.weights.close()
    throw error
  }
}

/** What the new file could not be used with is found now; rows that no token uses are filled as llama.cpp does. */
function checkTokenizer({ tokenizer, tokenizerConfig }: ModelFolder, rows: number): string[] {
  const config = tokenizerConfig === undefined ? undefined : parseTokenizerConfig(tokenizerConfig.text)
  const vocabularySize = makeBackend(tokenizer.content, config).backend.getVocabSize(true)
  if (vocabularySize > rows) {
    throw new TandemError('invalid-file', 'The tokenizer has more tokens than the model', {
      expected: `at most ${rows}, the vocab_size of config.json`,
      received: `${vocabularySize}`,
      remedy: 'Check that tokenizer.json and tokenizer_config.json belong to this model',
    })
  }
  const empty = rows - vocabularySize
  return empty === 0 ? [] : [`${empty} of the ${rows} rows of the embedding have no token; they are filled with [PAD…]`]
}
