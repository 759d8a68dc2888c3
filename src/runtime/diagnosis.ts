import { constants } from 'node:fs'
import { access, mkdtemp, readdir, rmdir, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import { TandemError } from '../errors.ts'
import type { NativeDevice } from '../native/addon.ts'
import { describeNative, listDevices, type NativeDescription } from '../native/library.ts'
import { nodeLlamaCppVersion } from '../native/variants.ts'
import { cacheDirectory } from './cache.ts'
import { type Finding, findings } from './findings.ts'
import { describeProcessor, type Processor } from './processor.ts'
import { type SystemMemory, systemMemory } from './system-memory.ts'

/** The system that Tandem runs on. */
export interface Platform {
  /** `process.platform`: `linux`, `darwin`, `win32`. */
  os: string
  /** Version of its kernel. */
  release: string
  /** `process.arch`: `x64`, `arm64`. */
  arch: string
  /** Version of Node.js. */
  node: string
  /** Version of the GNU C library; undefined on other systems. */
  glibc?: string
}

/** The folder of converted models. */
export interface CacheState {
  /** Its path; it need not exist yet. */
  directory: string
  /** How many files it holds. */
  files: number
  /** Size of the files, bytes. */
  size: number
  /** Whether models can be converted into it, found out by trying. */
  isWritable: boolean
}

/** What went wrong while a part was looked at. */
export interface Trouble {
  /** Code of the `TandemError`, or of the system: `EACCES`, … */
  code: string
  /** One line. */
  message: string
  /** What to do about it, if the one who found it knows. */
  remedy?: string
}

/** What this machine and this installation can do. A part that could not be looked at says why. */
export interface Diagnosis {
  /** Operating system, processor kind, Node.js. */
  platform: Platform
  /** The processor and its instruction sets. */
  processor: Processor | { trouble: Trouble }
  /** Bytes, with the limits of containers. */
  memory: SystemMemory | { trouble: Trouble }
  /** llama.cpp as it was opened. `trouble` where none could be. */
  library: NativeDescription & { trouble?: Trouble }
  /** What llama.cpp can compute on; empty where it cannot be opened. */
  devices: NativeDevice[]
  /** The folder of converted models. */
  cache: CacheState | { trouble: Trouble }
  /** null: not installed, or not readable. */
  versions: { tandem: string | null; nodeLlamaCpp: string | null; llamaCpp: string | null }
  /** Whether llama.cpp was opened with a CPU backend: without one no model runs. */
  canRun: boolean
  /** What is wrong or could be better, the worst first. */
  findings: Finding[]
}

/** Options of {@link diagnose}. */
export interface DiagnosisOptions {
  /** Folder of converted models; default as `load` has it. */
  cacheDirectory?: string
  /** Folder that takes the place of `/` where the system is asked: for what /proc and /sys say. */
  root?: string
}

/**
 * Looks at everything that Tandem needs. Opens llama.cpp as `load` would with the device `auto`, and writes nothing but
 * an empty folder in the cache, which it removes again. Never rejects because of a broken installation.
 *
 * @example
 * const { canRun, findings } = await diagnose()
 * if (!canRun) for (const { problem, remedy } of findings) console.error(`${problem}: ${remedy}`)
 */
export async function diagnose({ cacheDirectory: folder, root }: DiagnosisOptions = {}): Promise<Diagnosis> {
  const { library, devices } = openLibrary()
  const facts = {
    platform: platform(),
    processor: await attempt(() => describeProcessor()),
    memory: await attempt(() => systemMemory(root)),
    library,
    devices,
    cache: await attempt(() => cacheState(folder ?? cacheDirectory())),
    versions: { tandem: ownVersion(), nodeLlamaCpp: nodeLlamaCppVersion(), llamaCpp: library.release },
    canRun: devices.some(({ type }) => type === 'cpu'),
  }
  return { ...facts, findings: findings(facts) }
}

function openLibrary(): Pick<Diagnosis, 'library' | 'devices'> {
  try {
    const { devices } = listDevices()
    return { library: describeNative(), devices }
  } catch (error) {
    return { library: { ...describeNative(), trouble: troubleOf(error) }, devices: [] }
  }
}

function platform(): Platform {
  const glibc = glibcVersion()
  return {
    os: process.platform,
    release: release(),
    arch: process.arch,
    node: process.versions.node,
    ...(glibc === undefined ? {} : { glibc }),
  }
}

function glibcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime
}

async function cacheState(directory: string): Promise<CacheState> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (names === undefined) return { directory, files: 0, size: 0, isWritable: await canMake(directory) }
  const found = await Promise.all(names.map((name) => stat(join(directory, name)).catch(() => undefined)))
  const files = found.filter((entry) => entry?.isFile() === true)
  return {
    directory,
    files: files.length,
    size: files.reduce((sum, entry) => sum + (entry?.size ?? 0), 0),
    isWritable: await isWritable(directory),
  }
}

/** Whether a folder that does not exist yet could be made: its nearest ancestor decides. */
async function canMake(directory: string): Promise<boolean> {
  for (let ancestor = dirname(directory); ; ancestor = dirname(ancestor)) {
    const found = await stat(ancestor).catch(() => undefined)
    if (found !== undefined) return found.isDirectory() && (await mayWrite(ancestor))
    if (ancestor === dirname(ancestor)) return false
  }
}

/** Tried, not asked: access() knows neither full disks nor what Windows and network file systems refuse. */
async function isWritable(directory: string): Promise<boolean> {
  try {
    await rmdir(await mkdtemp(join(directory, '.tandem-')))
    return true
  } catch {
    return false
  }
}

async function mayWrite(directory: string): Promise<boolean> {
  return access(directory, constants.W_OK).then(
    () => true,
    () => false,
  )
}

function ownVersion(): string | null {
  try {
    return (createRequire(import.meta.url)('../../package.json') as { version: string }).version
  } catch {
    return null
  }
}

async function attempt<Part>(look: () => Part | Promise<Part>): Promise<Part | { trouble: Trouble }> {
  try {
    return await look()
  } catch (error) {
    return { trouble: troubleOf(error) }
  }
}

function troubleOf(error: unknown): Trouble {
  if (!(error instanceof TandemError)) {
    return { code: 'io', message: error instanceof Error ? error.message : String(error) }
  }
  const { code, message, remedy } = error
  // The remedy is the last sentence of the message, and is shown by itself here.
  return remedy === undefined ? { code, message } : { code, message: message.slice(0, -`. ${remedy}`.length), remedy }
}
