import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

/** A control group of Linux that binds this process. */
export interface ControlGroup {
  version: 1 | 2
  /** The text of one of its files, undefined where there is none. */
  read(name: string): string | undefined
}

/**
 * Every group between this process and the root of its hierarchy, since each of them binds; none on other systems.
 * @param controller which limits are asked for: cgroup v1 has a hierarchy for each
 * @param root folder that takes the place of `/`
 */
export function controlGroups(controller: 'memory' | 'cpu', root = '/'): ControlGroup[] {
  const lines = (readText(join(root, 'proc/self/cgroup')) ?? '').split('\n')
  return lines.flatMap((line) => {
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined) return []
    if (hierarchy === '0' && controllers === '') return groupsOf(join(root, 'sys/fs/cgroup'), path, 2)
    if (controllers?.split(',').includes(controller) !== true) return []
    return groupsOf(join(root, 'sys/fs/cgroup', controller), path, 1)
  })
}

function groupsOf(mount: string, path: string, version: 1 | 2): ControlGroup[] {
  // In a container the path can be the host's, while the mount shows the container's own group at its top.
  const paths: string[] = ['/']
  for (let inner = posix.normalize(path); inner !== '/'; inner = posix.dirname(inner)) paths.push(inner)
  return paths.map((inner) => ({ version, read: (name) => readText(join(mount, inner, name)) }))
}

/** The text of a file, undefined where it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
