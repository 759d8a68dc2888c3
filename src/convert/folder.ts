import { isUtf8 } from 'node:buffer'
import { readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { TandemError } from '../errors.ts'
import { fileKind, KIND_BYTES } from '../formats/file-kind.ts'
import { describeFileError, requireFile } from '../formats/files.ts'
import { MAX_STRING_BYTES } from '../formats/gguf/limits.ts'
import { openSafetensors, type Safetensors } from '../formats/safetensors.ts'
import { parseJson } from '../json.ts'
import { Fields, isJsonObject, type JsonObject } from './fields.ts'

/** Each file becomes one value of the GGUF file. The largest tokenizer.json are some 35 MB, the others far smaller. */
const MAX_TEXT_BYTES = MAX_STRING_BYTES

/** A JSON file: its text as it is, to travel in the GGUF file, and its content. */
export interface JsonFile {
  text: string
  content: JsonObject
}

/** What a conversion reads from a Hugging Face model folder. */
export interface ModelFolder {
  /** Last part of the path. */
  name: string
  config: JsonFile
  generationConfig: JsonFile | undefined
  tokenizer: JsonFile
  tokenizerConfig: JsonFile | undefined
  /** Jinja text of `chat_template.jinja`, which wins over the one in tokenizer_config.json as in transformers. */
  chatTemplate: string | undefined
  weights: Safetensors
}

/**
 * Reads the small files of a model folder and opens its weights; the caller closes them.
 * @throws TandemError `not-found`, `invalid-file` or `io`
 */
export async function openFolder(directory: string): Promise<ModelFolder> {
  await requireDirectory(directory)
  return {
    name: basename(resolve(directory)),
    config: await requireJson(directory, 'config.json', 'Check that the path is the folder of a Hugging Face model'),
    generationConfig: await readJson(directory, 'generation_config.json'),
    tokenizer: await requireJson(
      directory,
      'tokenizer.json',
      'Save the fast version of the tokenizer: AutoTokenizer.from_pretrained(…).save_pretrained(…)',
    ),
    tokenizerConfig: await readJson(directory, 'tokenizer_config.json'),
    chatTemplate: await readText(directory, 'chat_template.jinja'),
    weights: await openSafetensors(directory),
  }
}

export function fieldsOf(file: JsonFile, name: string): Fields {
  return new Fields(name, file.content)
}

async function requireDirectory(directory: string): Promise<void> {
  const status = await stat(directory).catch((cause: unknown) => {
    throw describeFileError(cause, `The model folder ${directory} cannot be read`)
  })
  if (status.isDirectory()) return
  throw new TandemError('invalid-argument', `${directory} is not a folder`, {
    expected: 'the folder of a Hugging Face model, with config.json in it',
    received: 'a file',
  })
}

async function requireJson(directory: string, name: string, remedy: string): Promise<JsonFile> {
  const file = await readJson(directory, name)
  if (file === undefined) throw new TandemError('not-found', `${directory} has no ${name}`, { remedy })
  return file
}

async function readJson(directory: string, name: string): Promise<JsonFile | undefined> {
  const text = await readText(directory, name)
  if (text === undefined) return undefined
  let content: unknown
  try {
    content = parseJson(text)
  } catch (cause) {
    throw notJson(name, text, cause)
  }
  if (!isJsonObject(content)) throw new TandemError('invalid-file', `${name} is not a JSON object`)
  return { text, content }
}

function notJson(name: string, text: string, cause: unknown): TandemError {
  const kind = text.trimStart().startsWith('{') ? undefined : fileKind(Buffer.from(text.slice(0, KIND_BYTES)))
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TandemError('invalid-file', `${name} is not JSON`, {
    received: kind?.name ?? (text === '' ? 'an empty file' : reason),
    remedy: kind?.remedy ?? 'Download the file again',
    cause,
  })
}

async function readText(directory: string, name: string): Promise<string | undefined> {
  const path = join(directory, name)
  const size = await requireFile(path).catch((error: unknown) => {
    if (error instanceof TandemError && error.code === 'not-found') return undefined
    throw error
  })
  if (size === undefined) return undefined
  if (size > MAX_TEXT_BYTES) {
    throw new TandemError('invalid-file', `${name} is too large`, {
      expected: `at most ${MAX_TEXT_BYTES} bytes`,
      received: `${size}`,
    })
  }
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw describeFileError(cause, `${path} cannot be read`)
  })
  if (!isUtf8(bytes)) throw new TandemError('invalid-file', `${name} is not UTF-8 text`)
  return bytes.toString('utf8')
}
