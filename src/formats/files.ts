import type { FileHandle } from 'node:fs/promises'
import { access, stat } from 'node:fs/promises'
import { TandemError } from '../errors.ts'

/**
 * The size of a regular file in bytes. Anything else is refused before it is opened: opening a named pipe would wait
 * for a writer for ever.
 * @throws TandemError `not-found`, `invalid-file` or `io`
 */
export async function requireFile(path: string): Promise<number> {
  let status: Awaited<ReturnType<typeof stat>>
  try {
    status = await stat(path)
  } catch (cause) {
    throw describeFileError(cause, `${path} cannot be read`)
  }
  if (!status.isFile()) {
    throw new TandemError('invalid-file', `${path} is not a file`, {
      expected: 'a regular file',
      received: status.isDirectory() ? 'a directory' : 'a device or a pipe',
    })
  }
  return status.size
}

/** Fills `target` with the file's bytes from `position` on; false if the file ends before that. */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number): Promise<boolean> {
  for (let filled = 0; filled < target.length; ) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, position + filled)
    if (bytesRead === 0) return false
    filled += bytesRead
  }
  return true
}

/**
 * Whether there is anything under a name.
 * @throws TandemError `io` where that cannot be told
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (cause) {
    const error = describeFileError(cause, `${path} cannot be reached`)
    if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') return false
    throw error
  }
}

/** The system's code of a file operation that failed; undefined for any other error. */
export function systemCode(cause: unknown): string | undefined {
  return cause instanceof Error && 'syscall' in cause && 'code' in cause ? String(cause.code) : undefined
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'Check the path',
  ENOTDIR: 'Check the path: a part of it is a file',
  EACCES: 'Check the permissions',
  EPERM: 'Check the permissions',
  EROFS: 'Choose a place that can be written',
  ENOSPC: 'The disk is full: free some space or choose another place',
  EDQUOT: 'The disk quota is used up: free some space or choose another place',
  EISDIR: 'Name a file, not a directory',
  EMFILE: 'Too many files are open: close some, or raise the limit (ulimit -n)',
  ENAMETOOLONG: 'Choose a shorter name',
}

/**
 * The error of a file operation in our words: what failed, the system's code, what to do about it. Any other error (a
 * caller's own, out of its callback) stays what it is.
 */
export function describeFileError(cause: unknown, problem: string): unknown {
  const code = systemCode(cause)
  if (code === undefined) return cause
  const remedy = REMEDIES[code]
  return new TandemError(code === 'ENOENT' ? 'not-found' : 'io', `${problem} (${code})`, {
    cause,
    ...(remedy === undefined ? {} : { remedy }),
  })
}
