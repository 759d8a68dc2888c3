import { readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'

/** The processor, as far as it matters to llama.cpp's CPU backends. */
export interface Processor {
  /** Name of the product. */
  model: string
  /** Physical cores; undefined where the system does not tell. */
  cores?: number
  /** Hardware threads that this process may use. */
  threads: number
  /** Which of llama.cpp's instruction sets it has; undefined where the system does not tell. */
  features?: Record<string, boolean>
}

/** Names for people, and the flags of Linux's /proc/cpuinfo, for the sets that ggml's CPU backends are built for. */
const X86_FLAGS: Readonly<Record<string, string>> = {
  avx: 'avx',
  avx2: 'avx2',
  f16c: 'f16c',
  fma: 'fma',
  avx_vnni: 'avx_vnni',
  avx512f: 'avx512f',
  avx512_vnni: 'avx512_vnni',
  avx512_bf16: 'avx512_bf16',
  amx_int8: 'amx_int8',
}
const ARM_FLAGS: Readonly<Record<string, string>> = {
  neon: 'asimd',
  dotprod: 'asimddp',
  fp16: 'asimdhp',
  i8mm: 'i8mm',
  bf16: 'bf16',
  sve: 'sve',
  sme: 'sme',
}

/** Describes the processor of this machine; `readText` reads /proc/cpuinfo, and throws where there is none. */
export function describeProcessor(readText: (path: string) => string = readUtf8): Processor {
  const threads = availableParallelism()
  const ownName = cpus()[0]?.model.trim() || 'unknown'
  let text: string
  try {
    text = readText('/proc/cpuinfo')
  } catch {
    return { model: ownName, threads }
  }
  const cores = coreCount(text)
  const features = featuresOf(text)
  return {
    model: fieldOf(text, 'model name') ?? ownName,
    ...(cores === undefined ? {} : { cores }),
    threads,
    ...(features === undefined ? {} : { features }),
  }
}

function featuresOf(text: string): Record<string, boolean> | undefined {
  const x86 = fieldOf(text, 'flags')
  const flags = new Set((x86 ?? fieldOf(text, 'Features'))?.split(/\s+/))
  if (flags.size === 0) return undefined
  const names = x86 === undefined ? ARM_FLAGS : X86_FLAGS
  return Object.fromEntries(Object.entries(names).map(([name, flag]) => [name, flags.has(flag)]))
}

/** A core is one pair of socket and core number, whatever threads it runs. */
function coreCount(text: string): number | undefined {
  const cores = text.split(/\n\s*\n/).flatMap((block) => {
    const core = fieldOf(block, 'core id')
    return core === undefined ? [] : [`${fieldOf(block, 'physical id')} ${core}`]
  })
  return cores.length === 0 ? undefined : new Set(cores).size
}

function fieldOf(text: string, name: string): string | undefined {
  return new RegExp(`^${name}[ \\t]*:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim()
}

function readUtf8(path: string): string {
  return readFileSync(path, 'utf8')
}
