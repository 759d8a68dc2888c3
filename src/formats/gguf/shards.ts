import { TandemError } from '../../errors.ts'
import { type GgufFile, readGguf } from './read.ts'

/**
 * Reads a model from its only file or from the first of several, `NAME-00001-of-00003.gguf`, with the tensors of all of
 * them (offsets are those in a tensor's own file). All are checked as `readGguf` does: llama.cpp's loader opens the others
 * by itself.
 * @throws TandemError as `readGguf`; `not-found` names a part that is missing, `invalid-argument` the part to begin with
 */
export async function readGgufShards(path: string): Promise<GgufFile> {
  const first = await readGguf(path)
  const count = splitNumber(first, 'split.count', path) ?? 1
  if (count <= 1) return first
  const number = splitNumber(first, 'split.no', path) ?? 0
  const suffix = shardSuffix(number, count)
  if (!path.endsWith(suffix)) {
    throw new TandemError('invalid-file', `${path} is one of ${count} parts and has been renamed`, {
      expected: `a name that ends in ${suffix}`,
    })
  }
  const stem = path.slice(0, -suffix.length)
  if (number !== 0) {
    throw new TandemError('invalid-argument', `${path} is part ${number + 1} of ${count}`, {
      remedy: `Load the first part, ${stem}${shardSuffix(0, count)}`,
    })
  }
  const tensors = [...first.tensors]
  for (let part = 1; part < count; part++) {
    const shard = await readPart(`${stem}${shardSuffix(part, count)}`, part, count)
    tensors.push(...shard.tensors)
  }
  return { ...first, tensors }
}

async function readPart(path: string, part: number, count: number): Promise<GgufFile> {
  const shard = await readGguf(path).catch((cause: unknown) => {
    if (!(cause instanceof TandemError && cause.code === 'not-found')) throw cause
    throw new TandemError('not-found', `A part of the model is missing: ${path}`, {
      remedy: `Put all ${count} parts into one folder`,
      cause,
    })
  })
  const number = splitNumber(shard, 'split.no', path)
  if (number === part) return shard
  throw new TandemError('invalid-file', `${path} is not the part that its name says`, {
    expected: `split.no ${part}`,
    received: String(number),
  })
}

/** A number of a part; llama.cpp ends the process for one of another type. */
function splitNumber(file: GgufFile, key: string, path: string): number | undefined {
  const entry = file.metadata.get(key)
  if (entry === undefined) return undefined
  if (entry.type === 'uint16') return entry.value
  throw new TandemError('invalid-file', `${path} has the wrong type at ${key}`, {
    expected: 'a uint16',
    received: `a ${entry.type}`,
  })
}

function shardSuffix(part: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, '0')
  return `-${digits(part + 1)}-of-${digits(count)}.gguf`
}
