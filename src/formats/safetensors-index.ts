import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TandemError } from '../errors.ts'
import { requireFile } from './files.ts'
import { invalidSafetensors } from './safetensors-header.ts'

export const SINGLE = 'model.safetensors'
export const INDEX = 'model.safetensors.index.json'

/** An index names each tensor once: 100 MB would be a million of them. */
const MAX_INDEX_BYTES = 100_000_000

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/**
 * The shard of every tensor, by the tensor's name.
 * @throws TandemError `not-found` if the folder has no weights that are read, `invalid-file` or `io`
 */
export async function readIndex(directory: string): Promise<Map<string, string>> {
  const path = join(directory, INDEX)
  if (!(await exists(path))) throw await noWeights(directory)
  if ((await requireFile(path)) > MAX_INDEX_BYTES) {
    throw invalidSafetensors(INDEX, 'is too large', `at most ${MAX_INDEX_BYTES} bytes`, 'more')
  }
  let index: unknown
  try {
    index = JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new TandemError('invalid-file', `${INDEX} is not JSON`, { cause })
  }
  const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw invalidSafetensors(INDEX, 'names no tensors', 'an object "weight_map"', typeof map)
  }
  const shards = new Map<string, string>()
  for (const [tensor, file] of Object.entries<unknown>({ ...map })) {
    if (!isPlainName(file)) {
      const expected = 'a *.safetensors file in the same folder'
      throw invalidSafetensors(INDEX, `names a bad file for ${tensor}`, expected, JSON.stringify(file))
    }
    shards.set(tensor, file)
  }
  return shards
}

/** A shard lies in the folder itself: a path could make us read any file of the computer into the model. */
function isPlainName(file: unknown): file is string {
  return typeof file === 'string' && /^[^/\\\0:]+\.safetensors$/.test(file)
}

async function noWeights(directory: string): Promise<TandemError> {
  const pickles = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model.pt', 'consolidated.00.pth']
  const found = await Promise.all(
    pickles.map(async (name) => ((await exists(join(directory, name))) ? name : undefined)),
  )
  const pickle = found.find((name) => name !== undefined)
  return new TandemError('not-found', `${directory} has no weights`, {
    expected: `${SINGLE} or ${INDEX}`,
    received: pickle ?? 'neither',
    remedy:
      pickle === undefined
        ? 'Check that the path is the folder of a Hugging Face model and that its download is complete'
        : 'That file can run code when it is opened, so it is never read: save the model with safetensors (save_pretrained of transformers does)',
  })
}
