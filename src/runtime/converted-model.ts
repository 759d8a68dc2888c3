import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TandemError } from '../errors.ts'
import { describeFileError, exists, requireFile } from '../formats/files.ts'
import { type GgufFile, readGguf } from '../formats/gguf/read.ts'
import { parseJson } from '../json.ts'
import { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { ModelLocation } from './locate.ts'

/** All that a converted model knows beside its weights. */
export interface ConvertedModel {
  path: string
  gguf: GgufFile
  /** `general.architecture`: `t5`, `qwen2`, … */
  architecture: string
  tokenizer: Tokenizer
  /** Hugging Face's `config.json`. */
  config: Record<string, unknown>
  /** Hugging Face's `generation_config.json`, or what `config.json` says in its place. */
  generationConfig: Record<string, unknown>
  /** Jinja text, if the model has one. */
  chatTemplate: string | undefined
  /** Type of most weights: `f32`, `q8_0`, … */
  quantization: string | undefined
}

/** Reads everything but the weights of a GGUF file that `convert` wrote; throws `invalid-file` for any other. */
export async function readConvertedModel(path: string): Promise<ConvertedModel> {
  const gguf = await readGguf(path)
  const config = jsonText(gguf, 'tandem.config', path) ?? {}
  return {
    path,
    gguf,
    architecture: text(gguf, 'general.architecture') ?? '',
    tokenizer: ggufTokenizer(gguf, path),
    config,
    // Keys of config.json count only when there is no generation_config.json (generation.md of transformers 5).
    generationConfig: jsonText(gguf, 'tandem.generation_config', path) ?? config,
    chatTemplate: text(gguf, 'tokenizer.chat_template'),
    quantization: text(gguf, 'tandem.quantization'),
  }
}

/** Only the tokenizer of a model: a folder need not be converted for it. */
export async function readTokenizer({ kind, path }: ModelLocation): Promise<Tokenizer> {
  if (kind === 'gguf') return ggufTokenizer(await readGguf(path), path)
  const tokenizerJson = await optionalFile(join(path, 'tokenizer.json'))
  if (tokenizerJson === undefined) {
    throw new TandemError('not-found', `${path} has no tokenizer.json`, {
      remedy: 'Save the tokenizer with save_pretrained of its fast version',
    })
  }
  return new Tokenizer(tokenizerJson, await optionalFile(join(path, 'tokenizer_config.json')))
}

function ggufTokenizer(gguf: GgufFile, path: string): Tokenizer {
  const tokenizerJson = text(gguf, 'tokenizer.huggingface.json')
  if (tokenizerJson === undefined) {
    throw new TandemError('invalid-file', `${path} does not hold its Hugging Face tokenizer`, {
      remedy: 'Convert the model folder with tandem convert',
    })
  }
  return new Tokenizer(tokenizerJson, text(gguf, 'tandem.tokenizer_config'))
}

function text(gguf: GgufFile, key: string): string | undefined {
  const value = gguf.metadata.get(key)
  return value?.type === 'string' && typeof value.value === 'string' ? value.value : undefined
}

function jsonText(gguf: GgufFile, key: string, path: string): Record<string, unknown> | undefined {
  const json = text(gguf, key)
  if (json === undefined) return undefined
  try {
    const value: unknown = parseJson(json)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw new TandemError('invalid-file', `${key} of ${path} is not JSON`, { cause })
  }
  throw new TandemError('invalid-file', `${key} of ${path} is not a JSON object`)
}

async function optionalFile(path: string): Promise<string | undefined> {
  if (!(await exists(path))) return undefined
  await requireFile(path)
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw describeFileError(cause, `${path} cannot be read`)
  })
}
