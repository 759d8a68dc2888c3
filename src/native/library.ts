import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import { type ErrorCode, TandemError } from '../errors.ts'
import type { Addon, NativeDevice } from './addon.ts'
import { chooseKernels } from './kernels.ts'
import {
  findVariant,
  type InstalledVariant,
  outsideArchive,
  VARIANTS,
  type Variant,
  type VariantObstacle,
} from './variants.ts'

export type { Variant, VariantObstacle } from './variants.ts'

const require = createRequire(import.meta.url)
// The same depth from src/native and from dist/native. Another build, such as one with sanitizers, can be named.
const ADDON =
  process.env['TANDEM_ADDON'] ??
  outsideArchive(fileURLToPath(new URL('../../build/Release/tandem.node', import.meta.url)))

let addon: Addon | undefined
let current: InstalledVariant | undefined
let kernels: KernelsInUse | null = null
/** What stood in the way of the variants that were tried before `current`, or before all of them failed. */
let obstacles: VariantObstacle[] = []

/** What multiplies the packed matrices of models on a CPU: `ggml`, or the instructions of our own kernels. */
export interface KernelsInUse {
  /** For T5 models. */
  t5: string
  /** For all other models. */
  libllama: string
  /** Why libllama keeps ggml's; null where it does not. */
  reason: string | null
}

/** What `loadNative` found. */
export interface NativeDescription {
  /** Path of the addon. */
  addon: string
  /** The llama.cpp release that the addon was compiled for; null when the addon cannot be opened. */
  release: string | null
  /** The variant that runs in this process; null when none does. */
  loaded: { variant: Variant; directory: string } | null
  /** The variants that were tried first. */
  tried: VariantObstacle[]
  /** What multiplies packed matrices; null when no variant runs. */
  kernels: KernelsInUse | null
}

/** What to load; `auto` takes what the process already runs, else the richest variant that opens. */
export interface NativeOptions {
  variant?: Variant | 'auto'
}

/**
 * The addon, with llama.cpp opened. Libraries and variant are process-wide and chosen once.
 *
 * @throws TandemError `library-missing` (nothing could be opened; the message says what was tried),
 * `library-mismatch` (another llama.cpp release than the addon was compiled for), `library-conflict` (the process
 * already runs another variant or somebody else's llama.cpp), `invalid-argument` (`TANDEM_KERNELS` names kernels that
 * there are not).
 */
export function loadNative(options: NativeOptions = {}): Addon {
  const variant = options.variant ?? 'auto'
  if (variant !== 'auto' && !VARIANTS.includes(variant)) {
    throw new TandemError('invalid-argument', 'Unknown variant of llama.cpp', {
      expected: `auto, ${VARIANTS.join(', ')}`,
      received: String(variant),
    })
  }
  const native = openAddon()
  if (current === undefined) current = openLibrary(native, variant)
  else if (variant !== 'auto' && variant !== current.variant) throw otherVariant(current.variant, variant)
  return native
}

/** The devices of the variant that is loaded, and which variant that is. */
export function listDevices(options: NativeOptions = {}): { variant: Variant; devices: NativeDevice[] } {
  const devices = loadNative(options).devices()
  if (current === undefined) throw new TandemError('library-missing', 'llama.cpp has not been loaded')
  return { variant: current.variant, devices }
}

/** What `loadNative` has opened so far, and what it could not open. Opens nothing and never throws. */
export function describeNative(): NativeDescription {
  const loaded = current === undefined ? null : { variant: current.variant, directory: current.directory }
  return { addon: ADDON, release: addon?.llamaRelease ?? null, loaded, tried: [...obstacles], kernels }
}

function openAddon(): Addon {
  if (addon !== undefined) return addon
  if (!existsSync(ADDON)) {
    throw new TandemError('library-missing', 'The native addon has not been built', {
      expected: ADDON,
      remedy: 'Run `npm run build:native` in the folder of tandem-llm (it needs git, cmake and a C++17 compiler)',
    })
  }
  const native = translate(() => require(ADDON) as Addon)
  // process.exit does not end the main environment before C's exit takes apart what threads still compute with. The
  // environments of worker threads are ended before.
  if (isMainThread) process.once('exit', () => native.endThreads())
  addon = native
  return native
}

function openLibrary(native: Addon, variant: Variant | 'auto'): InstalledVariant {
  const mapped = native.mappedLibrary()
  if (mapped !== null) return adoptMapped(native, mapped, variant)
  obstacles = []
  for (const candidate of variant === 'auto' ? VARIANTS : [variant]) {
    const found = findVariant(candidate)
    if ('obstacle' in found) obstacles.push(found)
    else {
      const obstacle = obstacleTo(native, found)
      if (obstacle === null) return load(native, found)
      obstacles.push({ variant: candidate, obstacle, isInstalled: true })
    }
  }
  const tried = obstacles.map(({ variant, obstacle }) => `${variant}: ${obstacle}`).join('; ')
  throw new TandemError('library-missing', `llama.cpp cannot be opened (tried ${tried})`, {
    remedy: 'Install node-llama-cpp with its optional dependencies, or choose another device',
  })
}

/** Why a variant cannot be used here: its own driver libraries may be missing from the machine. */
function obstacleTo(native: Addon, found: InstalledVariant): string | null {
  if (found.release !== native.llamaRelease) return mismatch(native, found).message
  return found.gpuBackend === null ? null : native.probeLibrary(found.gpuBackend)
}

/** Somebody brought llama.cpp into this process before us: the same files can be shared, others cannot. */
function adoptMapped(native: Addon, mapped: string, variant: Variant | 'auto'): InstalledVariant {
  for (const candidate of VARIANTS) {
    const found = findVariant(candidate)
    if ('obstacle' in found || found.directory !== mapped) continue
    if (variant !== 'auto' && variant !== candidate) throw otherVariant(candidate, variant)
    return load(native, found)
  }
  throw new TandemError('library-conflict', `This process has already mapped another llama.cpp, from ${mapped}`, {
    remedy: 'Run Tandem in a child process or before the other library, with the same node-llama-cpp package',
  })
}

function load(native: Addon, found: InstalledVariant): InstalledVariant {
  if (found.release !== native.llamaRelease) throw mismatch(native, found)
  const t5 = chooseKernels(native)
  translate(() => native.loadLibrary({ ...found, kernels: t5 }))
  const { kernels: libllama, reason } = native.libllamaKernels()
  kernels = { t5, libllama, reason }
  return found
}

function mismatch(native: Addon, found: InstalledVariant): TandemError {
  return new TandemError('library-mismatch', `The libraries in ${found.directory} are of another llama.cpp release`, {
    expected: native.llamaRelease,
    received: found.release,
    remedy: 'Rebuild Tandem with `npm run build:native`, or install the node-llama-cpp version that it pins',
  })
}

function otherVariant(running: Variant, wanted: Variant): TandemError {
  return new TandemError('library-conflict', 'llama.cpp can be loaded only once per process', {
    expected: `the ${running} variant, which this process already runs`,
    received: wanted,
    remedy: 'Use a child process for the other variant',
  })
}

/** Runs native code; its errors, which carry a `code`, become TandemErrors. */
export function translate<Result>(call: () => Result): Result {
  try {
    return call()
  } catch (error) {
    throw asTandemError(error)
  }
}

/** An error of the addon as a TandemError; anything else unchanged. */
export function asTandemError(error: unknown): unknown {
  if (error instanceof TandemError || !(error instanceof Error)) return error
  const code = (error as { code?: unknown }).code
  if (code === 'ERR_DLOPEN_FAILED') {
    return new TandemError('library-missing', 'The native addon cannot be opened', {
      received: error.message,
      cause: error,
    })
  }
  return typeof code === 'string' ? new TandemError(code as ErrorCode, error.message, { cause: error }) : error
}
