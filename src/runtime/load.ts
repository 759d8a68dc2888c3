import type { ConvertOptions } from '../convert/convert.ts'
import { TandemError } from '../errors.ts'
import { type Engine, openEngine } from '../native/model.ts'
import type { OpenOptions } from '../native/open-options.ts'
import { type CacheOptions, convertIntoCache } from './cache.ts'
import { ChatModel } from './chat.ts'
import { readConvertedModel } from './converted-model.ts'
import type { LanguageModel, ModelDefaults } from './language-model.ts'
import { requireLoadOptions } from './load-options.ts'
import { locateModel, type ModelLocation } from './locate.ts'
import { requireMemory, requireMemoryForFolder } from './memory-check.ts'
import { Text2TextModel } from './text2text.ts'

/** Options of {@link load}. */
export interface LoadOptions extends OpenOptions, ModelDefaults {
  /** Type of the weights, or a mix of types, when a folder is converted on first use. Default `q8_0`. */
  quantization?: string
  /** Folder of converted models; default `$TANDEM_CACHE` or the platform's own place. */
  cacheDirectory?: string
  /** Called while a folder is converted; `done` and `total` are bytes. */
  onProgress?: ConvertOptions['onProgress']
  /** Ends loading, which rejects with `aborted`. */
  signal?: AbortSignal
}

/**
 * Loads a model: an embedded one by name, a Hugging Face folder, a GGUF file that `convert` wrote, or the GGUF file of a
 * decoder-only model that another converter made (the first one, where there are several).
 *
 * Rejects with `not-found`, `invalid-file`, `invalid-argument`, `unsupported-model`, `aborted`, or with what the native
 * library reports (`library-missing`, `device-unavailable`, `out-of-memory`, …).
 *
 * @example
 * const model = await load('nano-chatlm') // embedded
 * const { text } = await model.generate('请把下面的话翻译为英语:你好吗?')
 * await model.dispose()
 *
 * @example
 * const chat = await load('/models/Qwen2.5-0.5B-Instruct', { quantization: 'q4_k_m', device: 'cpu', contextSize: 8192 })
 */
export async function load(model: string, options: LoadOptions = {}): Promise<LanguageModel> {
  requireLoadOptions(options)
  const { quantization, cacheDirectory, onProgress, signal, generationConfig, modelDefaults, ...engineOptions } =
    options
  const begin = performance.now()
  throwIfAborted(signal)
  const location = await locateModel(model)
  if (location.kind === 'gguf' && quantization !== undefined) {
    throw new TandemError('invalid-argument', 'quantization is for model folders: a GGUF file is loaded as it is', {
      received: location.path,
      remedy: 'Convert the file first: tandem convert FILE.gguf -o NEW.gguf --quantize TYPE',
    })
  }
  const path =
    location.kind === 'gguf'
      ? location.path
      : await convertedFolder(location, {
          quantization: quantization ?? 'q8_0',
          directory: cacheDirectory,
          onProgress,
          signal,
          engineOptions,
        })
  const file = await readConvertedModel(path, engineOptions.device)
  let engine: Engine | undefined
  try {
    throwIfAborted(signal)
    requireMemory(file.gguf, engineOptions)
    engine = await openEngine(file.gguf, path, engineOptions)
    throwIfAborted(signal)
    const rest = { generationConfig, modelDefaults, loadMs: performance.now() - begin }
    return file.architecture === 't5' ? new Text2TextModel(file, engine, rest) : new ChatModel(file, engine, rest)
  } catch (error) {
    await engine?.dispose()
    await file.tokenizer.dispose()
    throw error
  }
}

/** A folder that would not fit into memory is refused before minutes of work, not after them. */
async function convertedFolder(folder: ModelLocation, options: CacheOptions & { engineOptions: OpenOptions }) {
  await requireMemoryForFolder(folder.path, options.quantization, options.engineOptions)
  return convertIntoCache(folder, options)
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TandemError('aborted', 'Loading the model was aborted', { cause: signal.reason })
}
