import { readModel } from './architectures/registry.ts'
import { fieldsOf, openFolder } from './folder.ts'
import { folderTensors } from './folder-tensors.ts'
import { describeFile } from './metadata.ts'
import type { Quantization } from './quantization.ts'
import type { Source } from './source.ts'

/**
 * A Hugging Face model folder as what is converted.
 * @throws TandemError `not-found`, `invalid-file`, `unsupported-model` or `io`
 */
export async function openFolderSource(directory: string, quantization: Quantization): Promise<Source> {
  const folder = await openFolder(directory)
  try {
    const model = readModel(fieldsOf(folder.config, 'config.json'))
    // First the weights: that config.json is not theirs is the mistake to report, not what follows from it.
    const tensors = folderTensors(model, folder.weights)
    return {
      architecture: model.architecture,
      metadata: describeFile(folder, model, quantization),
      tensors,
      close: () => folder.weights.close(),
    }
  } catch (error) {
    await folder.weights.close()
    throw error
  }
}
