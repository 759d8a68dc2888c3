import type { Diagnosis } from './diagnosis.ts'

/** Something that keeps Tandem from running, or makes it slow, and what to do about it. */
export interface Finding {
  /** A note is about what could be had, not about what fails. */
  severity: 'error' | 'warning' | 'note'
  /** What is wrong, one sentence. */
  problem: string
  /** What to do about it. */
  remedy: string
}

const SEVERITIES: readonly Finding['severity'][] = ['error', 'warning', 'note']

// nano-chatlm needs less, every model that people use needs more: Qwen2.5-0.5B in q8_0 has 0.5 GB of weights.
const SMALL_MEMORY = 2 ** 30

/** What follows from the facts, the worst first. */
export function findings(facts: Omit<Diagnosis, 'findings'>): Finding[] {
  const all = [libraryFindings, cacheFindings, memoryFindings, deviceFindings].flatMap((find) => find(facts))
  return all.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity))
}

function libraryFindings({ library, devices, canRun }: Omit<Diagnosis, 'findings'>): Finding[] {
  if (library.trouble !== undefined) {
    const { message, remedy = 'Install Tandem again, with its optional dependencies' } = library.trouble
    return [{ severity: 'error', problem: message, remedy }]
  }
  if (canRun) return []
  const names = devices.map(({ name }) => name).join(', ') || 'none'
  return [
    {
      severity: 'error',
      problem: `llama.cpp brings no CPU backend that runs on this processor (devices: ${names})`,
      remedy: 'Install node-llama-cpp for this platform and architecture',
    },
  ]
}

/** A GPU's libraries are installed, but its driver or runtime is missing, and the CPU computes in its place. */
function deviceFindings({ library, devices }: Omit<Diagnosis, 'findings'>): Finding[] {
  if (library.loaded === null || devices.some(({ type }) => type === 'gpu' || type === 'igpu')) return []
  return library.tried
    .filter(({ isInstalled }) => isInstalled)
    .map(({ variant, obstacle }) => ({
      severity: 'note',
      problem: `The ${variant} variant is installed but does not open: ${obstacle}`,
      remedy: `Nothing to do without such a GPU; with one, install its driver${variant === 'cuda' ? ' and the CUDA 13 runtime with cuBLAS' : ''}`,
    }))
}

function memoryFindings({ memory }: Omit<Diagnosis, 'findings'>): Finding[] {
  if ('trouble' in memory) {
    return [{ severity: 'warning', problem: memory.trouble.message, remedy: 'Mind the size of models yourself' }]
  }
  if (memory.available >= SMALL_MEMORY) return []
  return [
    {
      severity: 'warning',
      problem: `Only ${Math.round(memory.available / 2 ** 20)} MiB of memory are available`,
      remedy:
        memory.limit === undefined
          ? 'End other programs, or use small or quantised models'
          : "Raise the container's memory limit, or use small or quantised models",
    },
  ]
}

function cacheFindings({ cache }: Omit<Diagnosis, 'findings'>): Finding[] {
  const remedy = 'Name a folder that you may write to in TANDEM_CACHE'
  if ('trouble' in cache) return [{ severity: 'error', problem: `The cache: ${cache.trouble.message}`, remedy }]
  if (cache.isWritable) return []
  return [{ severity: 'error', problem: `The cache ${cache.directory} cannot be written`, remedy }]
}
