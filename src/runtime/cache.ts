import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, extname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type ConvertOptions, convert, converterVersion, requireQuantization } from '../convert/convert.ts'
import { TandemError } from '../errors.ts'
import { describeFileError, exists } from '../formats/files.ts'
import { removeAbandoned } from '../formats/partial-file.ts'
import type { ModelLocation } from './locate.ts'

export interface CacheOptions {
  /** Type of the converted weights. */
  quantization: string
  directory?: string | undefined
  onProgress?: ConvertOptions['onProgress']
  signal?: AbortSignal | undefined
}

/** Files of a model folder that decide what it computes. */
const RELEVANT_EXTENSIONS = new Set(['.json', '.jinja', '.safetensors'])

/**
 * Folder of converted models: `$TANDEM_CACHE`, else the platform's own place for caches. It need not exist. Whatever it
 * holds can be removed while no model is loaded from it.
 */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  const chosen = environment['TANDEM_CACHE']
  if (chosen) return chosen
  const local = environment['LOCALAPPDATA']
  if (platform === 'win32') return join(local || join(homedir(), 'AppData', 'Local'), 'tandem', 'Cache')
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'tandem')
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tandem')
}

/** Path of the converted model, which is made now if no process has made it before. */
export async function convertIntoCache(folder: ModelLocation, options: CacheOptions): Promise<string> {
  const { directory = cacheDirectory(), onProgress, signal } = options
  const quantization = requireQuantization(options.quantization)
  const key = await folderKey(folder.path, quantization, signal)
  const path = join(directory, `${folder.name}-${quantization}-${key.slice(0, 16)}.gguf`)
  if (await exists(path)) return path
  await makeDirectory(directory)
  await removeAbandoned(directory, { isFolder: true })
  try {
    await convert(folder.path, {
      output: path,
      quantization,
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    // Windows refuses to replace a file that another process has mapped; that file is the same model, and complete.
    if (error instanceof TandemError && error.code === 'io' && (await exists(path))) return path
    throw error
  }
  return path
}

/** SHA-256 over names and contents of the relevant files, the type and the converter's version, in hex. */
export async function folderKey(folder: string, quantization: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([converterVersion, quantization]))
  const all = await readdir(folder).catch((cause: unknown) => {
    throw describeFileError(cause, `${folder} cannot be read`)
  })
  const names = all.filter((name) => RELEVANT_EXTENSIONS.has(extname(name))).sort()
  for (const name of names) await addFile(hash, join(folder, name), signal)
  return hash.digest('hex')
}

async function addFile(hash: Hash, path: string, signal: AbortSignal | undefined): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw describeFileError(cause, `${path} cannot be read`)
  })
  if (!found.isFile()) return
  // The size delimits the contents, so that bytes cannot move from one file to the next unnoticed.
  hash.update(JSON.stringify([basename(path), found.size]))
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: 1 << 20 }),
      async (chunks) => {
        for await (const chunk of chunks as AsyncIterable<Buffer>) hash.update(chunk)
      },
      { signal },
    )
  } catch (cause) {
    if (signal?.aborted) throw new TandemError('aborted', 'Loading the model was aborted', { cause })
    throw describeFileError(cause, `${path} cannot be read`)
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
  } catch (cause) {
    throw new TandemError('io', `The cache ${directory} cannot be made`, {
      received: String((cause as NodeJS.ErrnoException).code),
      remedy: 'Name another folder in TANDEM_CACHE',
      cause,
    })
  }
}
