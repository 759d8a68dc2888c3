import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TandemError } from '../errors.ts'

/** Models that travel with the package, by name. */
export const EMBEDDED_MODELS = ['nano-chatlm', 'nano-qwen'] as const

/** Where a model is: a Hugging Face folder, still to be converted, or a GGUF file. */
export interface ModelLocation {
  kind: 'folder' | 'gguf'
  path: string
  /** For people and file names. */
  name: string
}

/** Finds what MODEL means; throws `not-found` or `invalid-argument`. */
export async function locateModel(model: string): Promise<ModelLocation> {
  if (typeof model !== 'string' || model === '' || model.includes('\0')) {
    throw new TandemError('invalid-argument', 'A model is given by its name or path', {
      expected: `${EMBEDDED_MODELS.join(', ')}, a model folder or a .gguf file`,
      received: typeof model === 'string' ? JSON.stringify(model) : typeof model,
    })
  }
  const isEmbedded = (EMBEDDED_MODELS as readonly string[]).includes(model)
  // The package keeps `models/` beside `src/` and `dist/` alike.
  const path = isEmbedded ? fileURLToPath(new URL(`../../models/${model}`, import.meta.url)) : resolve(model)
  const found = await statistics(path, model)
  const name = basename(path, extname(path) === '.gguf' ? '.gguf' : '')
  if (found.isDirectory()) return { kind: 'folder', path, name }
  if (found.isFile()) return { kind: 'gguf', path, name }
  throw new TandemError('invalid-argument', `${model} is neither a folder nor a file`)
}

async function statistics(path: string, model: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new TandemError('io', `${model} cannot be opened`, { received: String(code), cause })
    }
    throw new TandemError('not-found', `There is no model ${JSON.stringify(model)}`, {
      expected: `${EMBEDDED_MODELS.join(', ')}, a model folder or a .gguf file`,
      cause,
    })
  }
}
