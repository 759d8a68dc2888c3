import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type FolderTensor, writeSafetensors } from './convert-folder.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))

export interface ShapeCase {
  inputIds: number[]
  ids: number[]
}

/**
 * A model folder of ChatLM-mini-Chinese's shape with the random weights of test/integration/real-shapes.test.ts, and the
 * cases for it. The environment variable CHATLM names a folder with ChatLM's own tokenizer, else nano-chatlm's stands in.
 */
export async function writeChatlmFolder(folder: string): Promise<ShapeCase[]> {
  const shape = JSON.parse(await readFile(join(REPOSITORY, 'test/golden/real-shapes/chatlm.json'), 'utf8')) as {
    config: object
    tensors: FolderTensor[]
    cases: ShapeCase[]
  }
  await mkdir(folder)
  await writeFile(join(folder, 'config.json'), JSON.stringify(shape.config))
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(process.env['CHATLM'] ?? join(REPOSITORY, 'models/nano-chatlm'), file), join(folder, file))
  }
  await writeSafetensors(join(folder, 'model.safetensors'), shape.tensors)
  return shape.cases
}
