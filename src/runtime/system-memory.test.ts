import { freemem, totalmem } from 'node:os'
import { describe, expect, it } from 'vitest'
import { systemRoot } from '../../test/system-root.ts'
import { systemMemory } from './system-memory.ts'

const GIB = 2 ** 30
const MEMINFO = `MemTotal:       ${16 * 2 ** 20} kB\nMemFree:  1024 kB\nMemAvailable:   ${8 * 2 ** 20} kB\n`

describe('the memory of the system', () => {
  it('is what /proc/meminfo calls available', () => {
    expect(systemMemory(systemRoot({ 'proc/meminfo': MEMINFO }))).toEqual({ total: 16 * GIB, available: 8 * GIB })
  })

  it('is what Node.js says where there is no /proc', () => {
    const { total, available, limit } = systemMemory(systemRoot({}))
    expect(total).toBe(totalmem())
    expect(Math.abs(available - freemem())).toBeLessThan(GIB)
    expect(limit).toBeUndefined()
  })

  it('is bound by the groups of cgroup v2, files of the cache not counted as used', () => {
    const files = {
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '0::/user.slice/job\n',
      'sys/fs/cgroup/user.slice/memory.max': `${4 * GIB}\n`,
      'sys/fs/cgroup/user.slice/memory.current': `${3 * GIB}\n`,
      'sys/fs/cgroup/user.slice/memory.stat': `anon 5\ninactive_file ${GIB}\nactive_file 7\n`,
      'sys/fs/cgroup/user.slice/job/memory.max': 'max\n',
      'sys/fs/cgroup/user.slice/job/memory.current': `${GIB}\n`,
    }
    expect(systemMemory(systemRoot(files))).toEqual({ total: 4 * GIB, available: 2 * GIB, limit: 4 * GIB })
  })

  it('takes the least that any group leaves', () => {
    const files = {
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '0::/a/b\n',
      'sys/fs/cgroup/a/memory.max': `${6 * GIB}`,
      'sys/fs/cgroup/a/memory.current': `${7 * GIB}`,
      'sys/fs/cgroup/a/b/memory.max': `${2 * GIB}`,
      'sys/fs/cgroup/a/b/memory.current': `${GIB}`,
    }
    expect(systemMemory(systemRoot(files))).toEqual({ total: 2 * GIB, available: 0, limit: 2 * GIB })
  })

  it('knows cgroup v1, a container whose path is the host’s, and its number for "no limit"', () => {
    const group = (limit: string) => ({
      'proc/meminfo': MEMINFO,
      'proc/self/cgroup': '12:cpu,cpuacct:/docker/1\n7:memory:/docker/1\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': limit,
      'sys/fs/cgroup/memory/memory.usage_in_bytes': `${GIB}\n`,
      'sys/fs/cgroup/memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${GIB / 2}\n`,
    })
    expect(systemMemory(systemRoot(group(`${2 * GIB}\n`)))).toEqual({
      total: 2 * GIB,
      available: 1.5 * GIB,
      limit: 2 * GIB,
    })
    expect(systemMemory(systemRoot(group('9223372036854771712\n')))).toEqual({ total: 16 * GIB, available: 8 * GIB })
  })

  it('lets nonsense be no limit', () => {
    const files = {
      'proc/meminfo': 'MemTotal: many kB\n',
      'proc/self/cgroup': '0::/../../etc\nx\n0:::\n',
      'sys/fs/cgroup/memory.max': '-5\n',
    }
    expect(systemMemory(systemRoot(files)).total).toBe(totalmem())
  })
})
