import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FolderTensor, writeSafetensors } from './convert-folder.ts'

/** What scripts/golden/real_shapes.py writes: a real model's shape with weights that are an integer hash. */
export interface RealShape {
  config: Record<string, unknown>
  tensors: FolderTensor[]
  cases: {
    text: string
    inputIds: number[]
    ids: number[]
    margins: number[]
    top10: { ids: number[]; logits: number[] }
  }[]
}

/** Writes the model folder of a shape, with the tokenizer of another folder; returns the shape. */
export async function writeShapeFolder(
  folder: string,
  { shape, tokenizer }: { shape: string; tokenizer: string },
): Promise<RealShape> {
  const read = JSON.parse(await readFile(shape, 'utf8')) as RealShape
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'config.json'), JSON.stringify(read.config))
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(tokenizer, file), join(folder, file))
  }
  await writeSafetensors(join(folder, 'model.safetensors'), read.tensors)
  return read
}
