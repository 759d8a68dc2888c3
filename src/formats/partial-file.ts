import { createHash, randomBytes } from 'node:crypto'
import { readdir, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** A file is written in minutes; one that nobody has touched for a day was left, whoever it was. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000

/** `model.gguf.HOST-PID-RANDOM.part` */
const PARTIAL_NAME = /\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part$/

/** Processes of other machines and containers share folders, but not our process numbers. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

/**
 * A name beside `path` for what will become it. No two processes or threads get the same, so that none can take or
 * publish what another has not finished.
 */
export function partialName(path: string): string {
  return `${path}.${HOST}-${process.pid}-${randomBytes(4).toString('hex')}.part`
}

/** Removes what processes left that died while they wrote to `path`, or, for a folder, to any file in it. */
export async function removeAbandoned(path: string, { isFolder = false } = {}): Promise<void> {
  const folder = isFolder ? path : dirname(path)
  const begin = isFolder ? '' : `${basename(path)}.`
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    const found = PARTIAL_NAME.exec(name)
    if (found === null || !name.startsWith(begin)) continue
    const [, host, pid] = found
    const isDead = await isAbandoned(join(folder, name), host === HOST ? Number(pid) : undefined)
    if (isDead) await rm(join(folder, name), { force: true }).catch(() => undefined)
  }
}

async function isAbandoned(path: string, pid: number | undefined): Promise<boolean> {
  const changed = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Number.POSITIVE_INFINITY,
  )
  if (Date.now() - changed > ABANDONED_AFTER_MS) return true
  if (pid === undefined) return false
  // In a container every run may have the same number: what is older than this process is none of its own.
  if (pid === process.pid) return changed < Date.now() - process.uptime() * 1000
  return !isAlive(pid)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, as another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
