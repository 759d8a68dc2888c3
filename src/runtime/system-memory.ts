import { readFileSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import { join, posix } from 'node:path'

/** Memory in bytes. */
export interface SystemMemory {
  /** Memory of the machine, or of the control group where that is less. */
  total: number
  /** What a program could still take; pages of files that the system would give up count as available. */
  available: number
  /** The limit of the control group, where there is one below the machine's memory. */
  limit?: number
}

interface Group {
  limit: number
  used: number
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
  const groups = controlGroups(root)
  const total = Math.min(machine.total, ...groups.map(({ limit }) => limit))
  const available = Math.min(machine.available, ...groups.map(({ limit, used }) => Math.max(0, limit - used)))
  return { total, available, ...(total < machine.total ? { limit: total } : {}) }
}

function machineMemory(root: string): { total: number; available: number } {
  const text = read(join(root, 'proc/meminfo')) ?? ''
  const bytes = (name: string) => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  }
  // Free memory of Linux leaves out what a cache of files would give up; MemAvailable is the kernel's estimate with it.
  return { total: bytes('MemTotal') ?? totalmem(), available: bytes('MemAvailable') ?? freemem() }
}

/** Every group with a limit between this process and the root of its hierarchy: each of them binds. */
function controlGroups(root: string): Group[] {
  const lines = (read(join(root, 'proc/self/cgroup')) ?? '').split('\n')
  return lines.flatMap((line) => {
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined) return []
    if (hierarchy === '0' && controllers === '') return groupsOf(root, 'sys/fs/cgroup', path, V2)
    return controllers?.split(',').includes('memory') ? groupsOf(root, 'sys/fs/cgroup/memory', path, V1) : []
  })
}

const V2 = { limit: 'memory.max', used: 'memory.current', inactive: 'inactive_file' }
const V1 = { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', inactive: 'total_inactive_file' }

function groupsOf(root: string, mount: string, path: string, files: typeof V2): Group[] {
  // In a container the path can be the host's, while the mount shows the container's own group at its top.
  const paths: string[] = ['/']
  for (let inner = posix.normalize(path); inner !== '/'; inner = posix.dirname(inner)) paths.push(inner)
  return paths.flatMap((inner) => {
    const file = (name: string) => read(join(root, mount, inner, name))
    const limit = byteCount(file(files.limit))
    if (limit === undefined || limit > LARGEST_LIMIT) return []
    const used = byteCount(file(files.used)) ?? 0
    const cached = new RegExp(`^${files.inactive} (\\d+)$`, 'm').exec(file('memory.stat') ?? '')?.[1]
    return [{ limit, used: Math.max(0, used - Number(cached ?? 0)) }]
  })
}

/** A file of one number; `max` and whatever else is no number count as no limit. */
function byteCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
