import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TandemError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { SAVE_AS_SAFETENSORS } from './file-kind.ts'
import { describeFileError, exists, requireFile } from './files.ts'
import { invalidSafetensors } from './safetensors-header.ts'

export const SINGLE = 'model.safetensors'
export const INDEX = 'model.safetensors.index.json'

/** An index names each tensor once: 100 MB would be a million of them. */
const MAX_INDEX_BYTES = 100_000_000

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
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw describeFileError(cause, `${path} cannot be read`)
  })
  let index: unknown
  try {
    index = parseJson(text)
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

/** What lies in a folder in place of weights, the nearest first; none of these files is opened. */
const OTHER_WEIGHTS: readonly { pattern: RegExp; remedy: string }[] = [
  { pattern: /\.safetensors$/, remedy: `Fetch ${INDEX}, which says what each of the files holds` },
  { pattern: /\.gguf$/, remedy: 'Name the GGUF file itself as the model' },
  { pattern: /\.(?:bin|pt|pth|ckpt|pkl|pickle|bin\.index\.json)$/, remedy: SAVE_AS_SAFETENSORS },
  { pattern: /\.(?:h5|msgpack|onnx|tflite|npz|ot)$/, remedy: 'Save the model as safetensors, with transformers' },
]

async function noWeights(directory: string): Promise<TandemError> {
  const all = await readdir(directory).catch((cause: unknown) => {
    throw describeFileError(cause, `${directory} cannot be read`)
  })
  const names = all.sort()
  for (const { pattern, remedy } of OTHER_WEIGHTS) {
    const received = names.find((name) => pattern.test(name))
    if (received !== undefined) return missing(directory, received, remedy)
  }
  const remedy = 'Check that the path is the folder of a Hugging Face model and that its download is complete'
  return missing(directory, 'neither', remedy)
}

function missing(directory: string, received: string, remedy: string): TandemError {
  const expected = `${SINGLE} or ${INDEX}`
  return new TandemError('not-found', `${directory} has no weights that can be read`, { expected, received, remedy })
}
