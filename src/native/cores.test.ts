import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { systemRoot } from '../../test/system-root.ts'
import { availableCores } from './cores.ts'

const ALL = availableParallelism()
const V2 = { 'proc/self/cgroup': '0::/a/b\n' }
const V1 = { 'proc/self/cgroup': '4:cpu,cpuacct:/docker/1\n7:memory:/docker/1\n' }

describe('the cores that a process may use', () => {
  it('are those of the system where nothing limits it', () => {
    expect(availableCores(systemRoot({}))).toBe(ALL)
    expect(availableCores(systemRoot({ ...V2, 'sys/fs/cgroup/a/cpu.max': 'max 100000\n' }))).toBe(ALL)
    expect(availableCores(systemRoot({ ...V1, 'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n' }))).toBe(ALL)
    expect(availableCores(systemRoot({ ...V2, 'sys/fs/cgroup/a/cpu.max': `${(ALL + 3) * 100_000} 100000\n` }))).toBe(
      ALL,
    )
  })

  it('are the whole ones that the tightest group leaves, and one at least', () => {
    const tight = { 'sys/fs/cgroup/a/cpu.max': '150000 100000\n', 'sys/fs/cgroup/a/b/cpu.max': 'max 100000\n' }
    expect(availableCores(systemRoot({ ...V2, ...tight }))).toBe(1)
    expect(availableCores(systemRoot({ ...V2, 'sys/fs/cgroup/a/b/cpu.max': '50000 100000\n' }))).toBe(1)
    expect(availableCores(systemRoot({ ...V2, 'sys/fs/cgroup/cpu.max': `${ALL}00000 100000\n` }))).toBe(ALL)
  })

  it('follow cgroup v1, also in a container whose path is the host’s', () => {
    const files = {
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '100000\n',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    }
    expect(availableCores(systemRoot({ ...V1, ...files }))).toBe(1)
  })

  it('are not touched by nonsense', () => {
    for (const text of ['', '0 100000', '5 0', 'x y', '-5 100000']) {
      expect(availableCores(systemRoot({ ...V2, 'sys/fs/cgroup/a/cpu.max': text }))).toBe(ALL)
    }
  })
})
