import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chatTemplateKeys } from '../convert/special-tokens.ts'
import { TandemError } from '../errors.ts'
import { describeFileError, exists, requireFile } from '../formats/files.ts'
import { textOf } from '../formats/gguf/metadata.ts'
import type { GgufFile } from '../formats/gguf/read.ts'
import { readGgufShards } from '../formats/gguf/shards.ts'
import { parseJson } from '../json.ts'
import type { ModelFile } from '../native/model-file.ts'
import { parseObject } from '../tokenizer/config.ts'
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts'
import { Tokenizer } from '../tokenizer/tokenizer.ts'
import { readForeignModel } from './foreign-model.ts'
import { openForeignTokenizer } from './foreign-tokenizer.ts'
import type { ModelLocation } from './locate.ts'

/** What turns a chat into ids. */
export interface ChatFormat {
  tokenizer: TextTokenizer
  /** Jinja text, if the model has one. */
  chatTemplate: string | undefined
}

/** All that a GGUF file knows beside its weights. */
export interface ConvertedModel extends ChatFormat {
  /** Path of the GGUF file, in the cache where a folder was loaded. */
  path: string
  /** Its table: metadata and tensors. */
  gguf: GgufFile
  /** `general.architecture`: `t5`, `qwen2`, … */
  architecture: string
  /** Hugging Face's `config.json`; of a file that another converter made, what its metadata say. */
  config: Record<string, unknown>
  /** Hugging Face's `generation_config.json`, or what `config.json` or the metadata say in its place. */
  generationConfig: Record<string, unknown>
  /** Type of most weights: `f32`, `q8_0`, … */
  quantization: string | undefined
}

/**
 * Reads everything but the weights of a GGUF file, or of the first of several. A file that `convert` wrote brings the
 * tokenizer of Hugging Face; any other gets llama.cpp's, for which `device` chooses the variant of the library.
 */
export async function readConvertedModel(path: string, device?: string): Promise<ConvertedModel> {
  return describeModel(await readGgufShards(path), path, device)
}

/** The same of a file whose table has been read, or of the table that a conversion would write. */
export async function describeModel(gguf: GgufFile, path: string, device?: string): Promise<ConvertedModel> {
  if (!isConverted(gguf)) return readForeignModel(gguf, path, device)
  const config = jsonText(gguf, 'tandem.config', path) ?? {}
  return {
    path,
    gguf,
    architecture: textOf(gguf, 'general.architecture') ?? '',
    tokenizer: ggufTokenizer(gguf, path),
    config,
    // Keys of config.json count only when there is no generation_config.json (generation.md of transformers 5).
    generationConfig: jsonText(gguf, 'tandem.generation_config', path) ?? config,
    chatTemplate: textOf(gguf, 'tokenizer.chat_template'),
    quantization: textOf(gguf, 'tandem.quantization'),
  }
}

/** Only the tokenizer of a model: a folder need not be converted for it. */
export async function readTokenizer({ kind, path }: ModelLocation): Promise<TextTokenizer> {
  if (kind === 'gguf') {
    const gguf = await readGgufShards(path)
    return isConverted(gguf) ? ggufTokenizer(gguf, path) : (await openForeignTokenizer(gguf, path)).tokenizer
  }
  const tokenizerJson = await optionalFile(join(path, 'tokenizer.json'))
  if (tokenizerJson === undefined) {
    throw new TandemError('not-found', `${path} has no tokenizer.json`, {
      remedy: 'Save the tokenizer with save_pretrained of its fast version',
    })
  }
  return new Tokenizer(tokenizerJson, await optionalFile(join(path, 'tokenizer_config.json')))
}

/** The tokenizer and the chat template of a model: a folder need not be converted for them. */
export async function readChatFormat(location: ModelLocation): Promise<ChatFormat> {
  const { kind, path } = location
  if (kind === 'gguf') {
    const { tokenizer, chatTemplate } = await readConvertedModel(path)
    return { tokenizer, chatTemplate }
  }
  const tokenizerConfig = await optionalFile(join(path, 'tokenizer_config.json'))
  const ownFile = await optionalFile(join(path, 'chat_template.jinja'))
  const tokenizer = await readTokenizer(location)
  const template = ownFile ?? parseObject(tokenizerConfig ?? '{}', 'tokenizer_config.json')['chat_template']
  const found = chatTemplateKeys(template)['tokenizer.chat_template']?.value
  return { tokenizer, chatTemplate: typeof found === 'string' ? found : undefined }
}

/** `convert` puts the folder's own files into what it writes. */
export function isConverted(gguf: Pick<ModelFile, 'metadata'>): boolean {
  return gguf.metadata.has('tandem.config')
}

function ggufTokenizer(gguf: GgufFile, path: string): Tokenizer {
  const tokenizerJson = textOf(gguf, 'tokenizer.huggingface.json')
  if (tokenizerJson === undefined) {
    throw new TandemError('invalid-file', `${path} does not hold its Hugging Face tokenizer`, {
      remedy: 'Convert the model folder with tandem convert',
    })
  }
  return new Tokenizer(tokenizerJson, textOf(gguf, 'tandem.tokenizer_config'))
}

function jsonText(gguf: GgufFile, key: string, path: string): Record<string, unknown> | undefined {
  const json = textOf(gguf, key)
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
