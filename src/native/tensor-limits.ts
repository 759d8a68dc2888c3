import { TandemError } from '../errors.ts'
import { architectureOf, type ModelFile } from './model-file.ts'

/** `ggml_type` numbers: f32, and from i8 to f64 the types that hold no weights. */
const F32 = 0
const NO_WEIGHTS: readonly number[] = [24, 25, 26, 27, 28]

/** Tables of indices, the only integers that libllama reads from a file. */
const INDEX_TABLES = /\.ffn_gate_tid2eid\.weight$/

/**
 * What libllama and ggml take for granted in tensors and numbers: they end the process at a norm in half precision, read
 * beyond a matrix of integers, and assert that no epsilon is negative.
 *
 * @throws TandemError `invalid-file`
 */
export function checkTensors(file: ModelFile): void {
  for (const { name, type, shape } of file.tensors) {
    const isVector = shape.every((dimension, i) => i === 0 || dimension === 1)
    if (isVector && type !== F32) throw wrongType(name, 'f32, as every vector', type)
    if (NO_WEIGHTS.includes(type) && !INDEX_TABLES.test(name))
      throw wrongType(name, 'a floating point or quantised type', type)
  }
  const prefix = `${architectureOf(file)}.`
  for (const [key, entry] of file.metadata) {
    if (!key.startsWith(prefix)) continue
    const { value } = entry
    if (typeof value !== 'number') continue
    if (!Number.isFinite(value)) throw wrongNumber(key, 'a finite number', value)
    if (key.endsWith('epsilon') && value < 0) throw wrongNumber(key, 'at least 0', value)
  }
}

function wrongType(name: string, expected: string, type: number): TandemError {
  return new TandemError('invalid-file', `${name} has a type that cannot be computed with`, {
    expected,
    received: `ggml type ${type}`,
  })
}

function wrongNumber(key: string, expected: string, value: number): TandemError {
  return new TandemError('invalid-file', `${key} is out of range`, { expected, received: String(value) })
}
