import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import type { LibraryFiles } from './addon.ts'

/** Builds of llama.cpp that node-llama-cpp ships, the richest first. */
export const VARIANTS = ['cuda', 'vulkan', 'metal', 'cpu'] as const
/** One of the builds of llama.cpp that node-llama-cpp ships: `cpu`, `cuda`, `vulkan`, `metal`. */
export type Variant = (typeof VARIANTS)[number]

/** A build that is installed. */
export interface InstalledVariant extends LibraryFiles {
  variant: Variant
  /** llama.cpp release named by the build's metadata. */
  release: string
  /** The ggml backend that makes the variant what it is; null for `cpu`. */
  gpuBackend: string | null
}

const GPU_KINDS: readonly string[] = ['cuda', 'vulkan', 'metal']

const require = createRequire(import.meta.url)
const SHARED_OBJECT = { linux: '.so', darwin: '.dylib', win32: '.dll' } as const

/** Every variant has the CPU; `auto` takes the one that the process runs, or the richest that opens. */
export function variantFor(device: string): Variant | 'auto' {
  return GPU_KINDS.includes(device) ? (device as Variant) : 'auto'
}

/** A variant of llama.cpp that cannot be used here, and why, where possible in the loader's own words. */
export interface VariantObstacle {
  /** The build of llama.cpp. */
  variant: Variant
  /** Why it cannot be used. */
  obstacle: string
  /** Whether its libraries are there all the same. */
  isInstalled: boolean
}

/** Looks for the libraries of one variant among the packages of node-llama-cpp, which may be absent or not whole. */
export function findVariant(variant: Variant): InstalledVariant | VariantObstacle {
  const absent = (obstacle: string) => ({ variant, obstacle, isInstalled: false })
  const name = packageName(variant)
  if (name === null) return absent(`llama.cpp is not built for ${process.platform} ${process.arch} with ${variant}`)
  try {
    const folder = packageFolder(name)
    if (folder === null) return absent(`package ${name} is not installed`)
    const bins = join(folder, 'bins')
    const build = existsSync(bins) ? readdirSync(bins)[0] : undefined
    if (build === undefined) return absent(`package ${name} holds no libraries`)
    const read = readVariant(variant, realpathSync(join(bins, build)))
    return typeof read === 'string' ? { variant, obstacle: read, isInstalled: true } : read
  } catch (error) {
    const reason = (error as Error).message.split('\n', 1)[0]
    return { variant, obstacle: `package ${name} cannot be read: ${reason}`, isInstalled: true }
  }
}

/** The version of node-llama-cpp that is installed; null when there is none. */
export function nodeLlamaCppVersion(): string | null {
  try {
    // Its exports do not name its package.json: the entry stands in a folder below it.
    const manifest = join(dirname(require.resolve('node-llama-cpp')), '..', 'package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : null
  } catch {
    return null
  }
}

function packageName(variant: Variant): string | null {
  const platform = { linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform as string]
  if (platform === undefined) return null
  const arch = process.arch === 'arm' ? 'armv7l' : process.arch
  // The Mac packages carry Metal in their only build: metal on Apple silicon, the CPU on Intel.
  if (platform === 'mac') {
    if (arch === 'arm64') return variant === 'metal' ? '@node-llama-cpp/mac-arm64-metal' : null
    return variant === 'cpu' ? '@node-llama-cpp/mac-x64' : null
  }
  if (variant === 'metal') return null
  return `@node-llama-cpp/${platform}-${arch}${variant === 'cpu' ? '' : `-${variant}`}`
}

function packageFolder(name: string): string | null {
  const host = dirname(require.resolve('node-llama-cpp'))
  for (const modules of createRequire(join(host, 'package.json')).resolve.paths(name) ?? []) {
    const folder = outsideArchive(join(modules, name))
    if (existsSync(folder)) return folder
  }
  return null
}

/** Electron's asar archives cannot hold libraries that the system is to open: the packer unpacks them beside it. */
export function outsideArchive(path: string): string {
  return path.replace(`.asar${sep}`, `.asar.unpacked${sep}`)
}

function readVariant(variant: Variant, directory: string): InstalledVariant | string {
  const metadata = join(directory, '_nlcBuildMetadata.json')
  if (!existsSync(metadata)) return `${directory} has no _nlcBuildMetadata.json`
  const release = releaseOf(JSON.parse(readFileSync(metadata, 'utf8')))
  if (release === null) return `${metadata} names no llama.cpp release`
  const extension = SHARED_OBJECT[process.platform as keyof typeof SHARED_OBJECT]
  const files = readdirSync(directory)
  const find = (name: string) => {
    // `libggml.so`, `libggml.v0.5.0.so`, `libggml.vulkan.v0.5.0.so`
    const file = files.find((file) => file.replace(/^lib/, '').startsWith(`${name}.`) && file.endsWith(extension))
    return file === undefined ? null : join(directory, file)
  }
  const [ggmlBase, ggml, llama] = [find('ggml-base'), find('ggml'), find('llama')]
  if (ggmlBase === null || ggml === null || llama === null) return `${directory} lacks libraries of llama.cpp`
  const gpuBackend = variant === 'cpu' ? null : find(`ggml-${variant}`)
  if (variant !== 'cpu' && gpuBackend === null) return `${directory} lacks the ${variant} backend`
  return { variant, directory, ggmlBase, ggml, llama, release, gpuBackend }
}

function releaseOf(metadata: unknown): string | null {
  const release = (metadata as { buildOptions?: { llamaCpp?: { release?: unknown } } }).buildOptions?.llamaCpp?.release
  return typeof release === 'string' ? release : null
}
