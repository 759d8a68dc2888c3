import { stat } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import { writeGguf } from '../formats/gguf/write.ts'
import { loadNative } from '../native/library.ts'
import { openFolderSource } from './folder-source.ts'
import { openGgufSource } from './gguf-source.ts'
import { type Fallback, fallbacksOf, isRequantized, keepUnfitValues, planTensors, type TensorPlan } from './plan.ts'
import { type Quantization, requireQuantization } from './quantization.ts'
import { type ConvertRows, convertTensor } from './rows.ts'

export { converterVersion } from './metadata.ts'
export type { Fallback } from './plan.ts'
export { QUANTIZATION_NAMES, type Quantization, requireQuantization } from './quantization.ts'

/** Where a conversion is. */
export interface ConversionProgress {
  /** Name in GGUF of the tensor that is converted now. */
  tensor: string
  /** Bytes of the source that have been read. */
  done: number
  /** Bytes of the source in all. */
  total: number
}

/** Options of {@link convert}. */
export interface ConvertOptions {
  /** Path of the GGUF file to write; an existing file is replaced once the new one is complete. */
  output: string
  /** Type of the weights, or a mix of types; default `q8_0`. */
  quantization?: Quantization
  /** Let weights that are quantised already become others, which loses more than quantising the original. */
  allowRequantize?: boolean
  /**
   * Convert a model with weights that are NaN or infinite, or too large for the type: those tensors stay f32, and the
   * report names them. Such a model computes NaN wherever it meets them.
   */
  allowNonfinite?: boolean
  /** Called for every piece of a tensor that has been read. What it throws ends the conversion, which rejects with it. */
  onProgress?: (progress: ConversionProgress) => void
  /** Ends the conversion, which rejects with `aborted`; the output is as it was. */
  signal?: AbortSignal
  /** ggml's conversion of rows, for a caller that has the addon loaded in its own way; default: loads it. */
  convertRows?: ConvertRows
}

/** What a conversion has made. */
export interface ConversionReport {
  /** Path of the file, as it was given. */
  output: string
  /** `general.architecture` of the file. */
  architecture: string
  /** Type of the weights, or mix of types, that was asked for. */
  quantization: Quantization
  /** How many tensors the file has. */
  tensors: number
  /** Values of all tensors; one that two modules share counts once. */
  parameters: number
  /** Tensors whose rows the type cannot hold, and what they became. */
  fallbacks: Fallback[]
  /** Tensors whose values were quantised already and became others. */
  requantized: number
  /** What is strange about the model but did not prevent its conversion, one sentence each. */
  warnings: string[]
  /** Size of the file. */
  bytes: number
  /** From the call to the complete file. */
  seconds: number
}

/**
 * Converts a Hugging Face model folder to one GGUF file, which then holds all that Tandem needs to run the model, or a
 * GGUF file to one of other types. Memory stays below 300 MB for a model of any size; ggml's quantisers run on threads of
 * their own, one for each core.
 * @throws TandemError `invalid-argument`, `unsupported-option`, `not-found`, `invalid-file`, `unsupported-model`, `io` or
 * `aborted`; the output then is as it was before
 *
 * @example
 * const report = await convert('/models/Qwen2.5-0.5B-Instruct', { output: 'qwen.gguf', quantization: 'q4_k_m' })
 * console.log(`${report.bytes} bytes`, report.fallbacks, report.warnings)
 */
export async function convert(model: string, options: ConvertOptions): Promise<ConversionReport> {
  const started = performance.now()
  const { output, quantization, allowRequantize, allowNonfinite, signal } = validate(model, options)
  const open = (await isFile(model)) ? openGgufSource : openFolderSource
  const source = await open(model, quantization)
  try {
    await refuseSameFile(model, output)
    const planned = planTensors(source, quantization, allowRequantize)
    const { plans: tensors, remarks } = allowNonfinite
      ? await keepUnfitValues(planned)
      : { plans: planned, remarks: [] }
    const convertRows = options.convertRows ?? loadNative().convertRows
    const track = tracker(tensors, options.onProgress)
    const data = (tensor: TensorPlan) => convertTensor(tensor, { convertRows, onBytes: track(tensor) })
    const bytes = await writeGguf(output, { metadata: source.metadata, tensors }, { data, signal })
    return {
      output,
      architecture: source.architecture,
      quantization,
      tensors: tensors.length,
      parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0),
      fallbacks: fallbacksOf(tensors),
      requantized: tensors.filter(isRequantized).length,
      warnings: [...source.warnings, ...remarks],
      bytes,
      seconds: (performance.now() - started) / 1000,
    }
  } finally {
    await source.close()
  }
}

type Validated = Required<Pick<ConvertOptions, 'output' | 'quantization' | 'allowRequantize' | 'allowNonfinite'>>

/** What TypeScript checks for its own callers, for all the others. */
function validate(model: string, options: ConvertOptions): Validated & { signal: AbortSignal | undefined } {
  const { output, quantization = 'q8_0', allowRequantize = false, allowNonfinite = false, signal } = options ?? {}
  const isPath = (value: unknown) => typeof value === 'string' && value !== ''
  requireArgument(isPath(model), 'model', 'the path of a model folder or of a GGUF file', model)
  requireArgument(isPath(output), 'output', 'the path of the file to write', output)
  requireArgument(typeof allowRequantize === 'boolean', 'allowRequantize', 'true or false', allowRequantize)
  requireArgument(typeof allowNonfinite === 'boolean', 'allowNonfinite', 'true or false', allowNonfinite)
  requireArgument(signal === undefined || typeof signal?.aborted === 'boolean', 'signal', 'an AbortSignal', signal)
  return { output, quantization: requireQuantization(quantization), allowRequantize, allowNonfinite, signal }
}

/** What is neither file nor folder, or not there, is the folder's to explain. */
async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isFile(),
    () => false,
  )
}

/** The file that is read would be replaced, and what it holds could not be had again. */
async function refuseSameFile(model: string, output: string): Promise<void> {
  const [from, to] = await Promise.all(
    [model, output].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  )
  if (from === undefined || to === undefined || from.ino !== to.ino || from.dev !== to.dev) return
  throw new TandemError('invalid-argument', 'output is wrong', {
    expected: 'another file than the one that is converted',
    received: output,
  })
}

function requireArgument(holds: boolean, name: string, expected: string, received: unknown): void {
  if (!holds) throw new TandemError('invalid-argument', `${name} is wrong`, { expected, received: inspect(received) })
}

/** Reports of one conversion: for each tensor a function that is told what has been read of it. */
function tracker(
  tensors: readonly TensorPlan[],
  onProgress: ConvertOptions['onProgress'],
): (tensor: TensorPlan) => (bytes: number) => void {
  const total = tensors.reduce((sum, { sourceSize }) => sum + sourceSize, 0)
  let done = 0
  return (tensor) => (bytes) => {
    done += bytes
    onProgress?.({ tensor: tensor.name, done, total })
  }
}
