import { availableParallelism } from 'node:os'
import { type ControlGroup, controlGroups } from './control-groups.ts'

/**
 * How many cores this process may keep busy: those it may run on, or fewer whole ones where a control group limits its time
 * (docs of cgroup v2: cpu.max; of v1: cpu.cfs_quota_us), as containers do. More threads than that would be stopped together,
 * while they wait for each other.
 * @param root folder that takes the place of `/`
 */
export function availableCores(root = '/'): number {
  const shares = controlGroups('cpu', root).flatMap((group) => coresOf(group) ?? [])
  return Math.max(1, Math.floor(Math.min(availableParallelism(), ...shares)))
}

/** Undefined without a limit, which is `max` or -1, or anything that is no number. */
function coresOf(group: ControlGroup): number | undefined {
  const [quota, period] =
    group.version === 2
      ? (group.read('cpu.max') ?? '').trim().split(' ')
      : [group.read('cpu.cfs_quota_us')?.trim(), group.read('cpu.cfs_period_us')?.trim()]
  const cores = /^\d+$/.test(quota ?? '') && /^\d+$/.test(period ?? '') ? Number(quota) / Number(period) : 0
  return Number.isFinite(cores) && cores > 0 ? cores : undefined
}
