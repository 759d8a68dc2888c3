import { freemem, totalmem } from 'node:os'
import { join } from 'node:path'
import { controlGroups, readText } from '../native/control-groups.ts'

/** Memory in bytes. */
export interface SystemMemory {
  /** Memory of the machine, or of the control group where that is less. */
  total: number
  /** What a program could still take; pages of files that the system would give up count as available. */
  available: number
  /** The limit of the control group, where there is one below the machine's memory. */
  limit?: number
}

// cgroup v1 says "no limit" with the largest multiple of a page that 63 bits hold; no machine has 4 PB.
const LARGEST_LIMIT = 2 ** 52

/**
 * The memory of this system, with the limits of its control groups where they are lower (docs of cgroup v2:
 * memory.max, memory.current; of v1: memory.limit_in_bytes, memory.usage_in_bytes).
 * @param root folder that takes the place of `/`
 */
export function systemMemory(root = '/'): SystemMemory {
  const machine = machineMemory(root)
  const groups = limitedGroups(root)
  const total = Math.min(machine.total, ...groups.map(({ limit }) => limit))
  const available = Math.min(machine.available, ...groups.map(({ limit, used }) => Math.max(0, limit - used)))
  return { total, available, ...(total < machine.total ? { limit: total } : {}) }
}

function machineMemory(root: string): { total: number; available: number } {
  const text = readText(join(root, 'proc/meminfo')) ?? ''
  const bytes = (name: string) => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  }
  // Free memory of Linux leaves out what a cache of files would give up; MemAvailable is the kernel's estimate with it.
  return { total: bytes('MemTotal') ?? totalmem(), available: bytes('MemAvailable') ?? freemem() }
}

interface Group {
  limit: number
  used: number
}

/** The groups that have a limit. */
function limitedGroups(root: string): Group[] {
  return controlGroups('memory', root).flatMap((group) => {
    const files = FILES[group.version]
    const limit = byteCount(group.read(files.limit))
    if (limit === undefined || limit > LARGEST_LIMIT) return []
    const used = byteCount(group.read(files.used)) ?? 0
    const cached = new RegExp(`^${files.inactive} (\\d+)$`, 'm').exec(group.read('memory.stat') ?? '')?.[1]
    return [{ limit, used: Math.max(0, used - Number(cached ?? 0)) }]
  })
}

const FILES = {
  1: { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', inactive: 'total_inactive_file' },
  2: { limit: 'memory.max', used: 'memory.current', inactive: 'inactive_file' },
} as const

/** A file of one number; `max` and whatever else is no number count as no limit. */
function byteCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined
}
