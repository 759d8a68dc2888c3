import { performance } from 'node:perf_hooks'
import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import { writeGguf } from '../formats/gguf/write.ts'
import { loadNative } from '../native/library.ts'
import { readModel } from './architectures/registry.ts'
import { fieldsOf, openFolder } from './folder.ts'
import { describeFile } from './metadata.ts'
import { planTensors, type TensorPlan } from './plan.ts'
import { QUANTIZATIONS, type Quantization } from './quantization.ts'
import { type ConvertRows, convertTensor } from './rows.ts'

export { converterVersion } from './metadata.ts'
export type { Quantization } from './quantization.ts'

/** Where a conversion is; `done` and `total` are bytes of the checkpoint. */
export interface ConversionProgress {
  /** Name in GGUF of the tensor that is converted now. */
  tensor: string
  done: number
  total: number
}

export interface ConvertOptions {
  /** Path of the GGUF file to write; an existing file is replaced once the new one is complete. */
  output: string
  /** Type of most weights; default `q8_0`. */
  quantization?: Quantization
  onProgress?: (progress: ConversionProgress) => void
  signal?: AbortSignal
  /** ggml's conversion of rows, for a caller that has the addon loaded in its own way; default: loads it. */
  convertRows?: ConvertRows
}

export interface ConversionReport {
  output: string
  /** `general.architecture` of the file. */
  architecture: string
  quantization: Quantization
  tensors: number
  parameters: number
  /** Size of the file. */
  bytes: number
  seconds: number
}

/**
 * Converts a Hugging Face model folder to one GGUF file, which then holds all that Tandem needs to run the model.
 * Memory stays below 300 MB for a model of any size.
 * @throws TandemError `invalid-argument`, `not-found`, `invalid-file`, `unsupported-model`, `io` or `aborted`; the
 * output then is as it was before
 */
export async function convert(directory: string, options: ConvertOptions): Promise<ConversionReport> {
  const started = performance.now()
  const { output, quantization, signal } = validate(directory, options)
  const folder = await openFolder(directory)
  try {
    const model = readModel(fieldsOf(folder.config, 'config.json'))
    const tensors = planTensors(model, folder.weights, quantization)
    const metadata = describeFile(folder, model, quantization)
    const convertRows = options.convertRows ?? loadNative().convertRows
    const track = tracker(tensors, options.onProgress)
    const data = (tensor: TensorPlan) => convertTensor(tensor, folder.weights, { convertRows, onBytes: track(tensor) })
    const bytes = await writeGguf(output, { metadata, tensors }, { data, signal })
    return {
      output,
      architecture: model.architecture,
      quantization,
      tensors: tensors.length,
      parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0),
      bytes,
      seconds: (performance.now() - started) / 1000,
    }
  } finally {
    await folder.weights.close()
  }
}

/** What TypeScript checks for its own callers, for all the others. */
function validate(
  directory: string,
  options: ConvertOptions,
): Required<Pick<ConvertOptions, 'output' | 'quantization'>> & { signal: AbortSignal | undefined } {
  const { output, quantization = 'q8_0', signal } = options ?? {}
  requireArgument(
    typeof directory === 'string' && directory !== '',
    'directory',
    'the path of a model folder',
    directory,
  )
  requireArgument(typeof output === 'string' && output !== '', 'output', 'the path of the file to write', output)
  requireArgument(
    Object.hasOwn(QUANTIZATIONS, quantization),
    'quantization',
    Object.keys(QUANTIZATIONS).join(', '),
    quantization,
  )
  requireArgument(signal === undefined || typeof signal?.aborted === 'boolean', 'signal', 'an AbortSignal', signal)
  return { output, quantization, signal }
}

function requireArgument(holds: boolean, name: string, expected: string, received: unknown): void {
  if (!holds) throw new TandemError('invalid-argument', `${name} is wrong`, { expected, received: inspect(received) })
}

/** Reports of one conversion: for each tensor a function that is told what has been read of it. */
function tracker(
  tensors: readonly TensorPlan[],
  onProgress: ConvertOptions['onProgress'],
): (tensor: TensorPlan) => (bytes: number) => void {
  const total = tensors.reduce((sum, { source }) => sum + source.size, 0)
  let done = 0
  return (tensor) => (bytes) => {
    done += bytes
    onProgress?.({ tensor: tensor.name, done, total })
  }
}
