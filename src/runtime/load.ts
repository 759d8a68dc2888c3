import type { ConvertOptions } from '../convert/convert.ts'
import { TandemError } from '../errors.ts'
import type { GgufFile } from '../formats/gguf/read.ts'
import { readGgufShards } from '../formats/gguf/shards.ts'
import { type Engine, openEngine } from '../native/model.ts'
import type { OpenOptions } from '../native/open-options.ts'
import { type CacheOptions, convertIntoCache } from './cache.ts'
import { ChatModel } from './chat.ts'
import { type ConvertedModel, describeModel, isConverted } from './converted-model.ts'
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
  const { file, engine } = await openModel(path, engineOptions, signal)
  const rest = { generationConfig, modelDefaults, loadMs: performance.now() - begin }
  try {
    return file.architecture === 't5' ? new Text2TextModel(file, engine, rest) : new ChatModel(file, engine, rest)
  } catch (error) {
    await engine.dispose()
    await file.tokenizer.dispose()
    throw error
  }
}

/** The weights are read on the engine's own thread, and the tokenizer is made here meanwhile. */
async function openModel(path: string, options: OpenOptions, signal: AbortSignal | undefined) {
  const gguf = await readGgufShards(path)
  throwIfAborted(signal)
  // A tokenizer of llama.cpp's opens the library itself, and first checks what it is given.
  const opening = isConverted(gguf) ? openEngineFor(gguf, path, options) : undefined
  let file: ConvertedModel | undefined
  let engine: Engine | undefined
  try {
    file = await describeModel(gguf, path, options.device)
    engine = await (opening ?? openEngineFor(gguf, path, options))
    throwIfAborted(signal)
    return { file, engine }
  } catch (error) {
    // Of two failures the first one is told.
    engine ??= await opening?.catch(() => undefined)
    await engine?.dispose()
    await file?.tokenizer.dispose()
    throw error
  }
}

function openEngineFor(gguf: GgufFile, path: string, options: OpenOptions): Promise<Engine> {
  requireMemory(gguf, options)
  const opening = openEngine(gguf, path, options)
  // It is awaited when the tokenizer is there, and must not count as unhandled until then.
  opening.catch(() => undefined)
  return opening
}

/** A folder that would not fit into memory is refused before minutes of work, not after them. */
async function convertedFolder(folder: ModelLocation, options: CacheOptions & { engineOptions: OpenOptions }) {
  await requireMemoryForFolder(folder.path, options.quantization, options.engineOptions)
  return convertIntoCache(folder, options)
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TandemError('aborted', 'Loading the model was aborted', { cause: signal.reason })
}
