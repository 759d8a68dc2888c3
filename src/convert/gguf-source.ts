import { TandemError } from '../errors.ts'
import { openGgufData } from '../formats/gguf/data.ts'
import { type GgufFile, readGguf } from '../formats/gguf/read.ts'
import type { GgufValue } from '../formats/gguf/types.ts'
import { quantizationKeys } from './metadata.ts'
import type { Quantization } from './quantization.ts'
import type { Source } from './source.ts'

/** Keys of a shard that do not describe the whole model. */
const SPLIT_KEYS = ['split.no', 'split.count', 'split.tensors.count']

/**
 * A GGUF file as what is converted. Everything in it travels; only the keys that describe its types are new.
 * @throws TandemError `not-found`, `invalid-file`, `unsupported-model` for a part of a model, or `io`
 */
export async function openGgufSource(path: string, quantization: Quantization): Promise<Source> {
  const gguf = await readGguf(path)
  const architecture = gguf.metadata.get('general.architecture')?.value
  if (typeof architecture !== 'string') throw noModel(path)
  requireWhole(gguf, path)
  const data = await openGgufData(path)
  return {
    architecture,
    metadata: newMetadata(gguf.metadata, quantization),
    tensors: gguf.tensors.map((tensor) => ({
      name: tensor.name,
      type: tensor.type,
      shape: tensor.shape,
      sourceType: tensor.type,
      sourceSize: tensor.size,
      scale: 1,
      read: (position, target) => data.read(tensor, position, target),
    })),
    warnings: [],
    close: data.close,
  }
}

function noModel(path: string): TandemError {
  return new TandemError('invalid-file', `${path} holds no model`, { expected: 'the key general.architecture' })
}

function requireWhole({ metadata }: GgufFile, path: string): void {
  const count = Number(metadata.get('split.count')?.value ?? 1)
  if (count === 1) return
  throw new TandemError('unsupported-model', `${path} is one of several files of a model`, {
    expected: 'a model in one file',
    received: `a part of ${count}`,
    remedy: 'Join them first with llama.cpp: llama-gguf-split --merge',
  })
}

/** A key that is there keeps its place, so that a folder and its f32 file become the same file. */
function newMetadata(metadata: ReadonlyMap<string, GgufValue>, quantization: Quantization): Map<string, GgufValue> {
  const result = new Map([...metadata].filter(([key]) => !SPLIT_KEYS.includes(key)))
  for (const [key, value] of quantizationKeys(quantization)) result.set(key, value)
  return result
}
