import { createHash } from 'node:crypto'
import type * as FileSystem from 'node:fs/promises'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { convert } from '../../src/convert/convert.ts'
import { TandemError } from '../../src/errors.ts'
import { GGML_TYPES } from '../../src/formats/gguf/types.ts'
import { writeGguf } from '../../src/formats/gguf/write.ts'
import { type FolderDescription, golden, makeFolder } from '../golden/convert-folder.ts'
import { readJson } from '../golden/reference.ts'

// Every call of the file system that a conversion makes fails once, the first, the second, … until none is left to fail:
// the way in which SQLite tests itself (https://sqlite.org/testing.html, "I/O error testing").

const disk = vi.hoisted(() => {
  const state = {
    /** The call that fails, and which one of its kind. */
    fault: undefined as { call: string; left: number; code: string } | undefined,
    /** Reads and writes move at most so many bytes. */
    atOnce: Number.POSITIVE_INFINITY,
    hasFailed: false,
  }
  const failing = <A extends unknown[], R>(call: string, run: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (state.fault?.call === call && --state.fault.left === 0) {
        state.hasFailed = true
        throw Object.assign(new Error(`${state.fault.code}: injected`), { code: state.fault.code, syscall: call })
      }
      return run(...args)
    }
  }
  return { state, failing }
})

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof FileSystem>()
  const { state, failing } = disk
  const open: typeof actual.open = async (...args) => {
    const handle = await failing('open', actual.open)(...args)
    /** Calls with a length, as ours are: (bytes, start, length, position). */
    const moving = (call: 'read' | 'write') => {
      const run = handle[call] as (...args: unknown[]) => Promise<unknown>
      return failing(call, (...args: unknown[]) =>
        run.apply(handle, typeof args[2] === 'number' ? args.with(2, Math.min(args[2], state.atOnce)) : args),
      )
    }
    return Object.assign(handle, {
      read: moving('read'),
      write: moving('write'),
      sync: failing('sync', handle.sync.bind(handle)),
      datasync: failing('datasync', handle.datasync.bind(handle)),
      stat: failing('fstat', handle.stat.bind(handle)),
      close: failing('close', handle.close.bind(handle)),
    })
  }
  const calls = ['stat', 'statfs', 'readdir', 'readFile', 'access', 'rename', 'rm'] as const
  const wrapped = calls.map((call) => [call, failing(call, actual[call] as (...args: unknown[]) => Promise<unknown>)])
  return { ...actual, open, ...Object.fromEntries(wrapped) }
})

let directory: string
let folder: string
let output: string
let complete: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-disk-'))
  const description = readJson<{ folder: FolderDescription }>(golden('qwen2-tied-bf16-sharded.json')).folder
  folder = await makeFolder(join(directory, 'model'), description)
  output = join(directory, 'out', 'model.gguf')
  await (await vi.importActual<typeof FileSystem>('node:fs/promises')).mkdir(join(directory, 'out'))
  await convert(folder, { output })
  complete = await digest()
})
afterEach(() => {
  disk.state.fault = undefined
  disk.state.atOnce = Number.POSITIVE_INFINITY
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function digest(): Promise<string> {
  return createHash('sha256')
    .update(await readFile(output))
    .digest('hex')
}

/** Lets the N-th call fail; false once there is no N-th. */
async function attempt(call: string, code: string, left: number): Promise<boolean> {
  await writeFile(output, 'old')
  disk.state.hasFailed = false
  disk.state.fault = { call, code, left }
  const error = await convert(folder, { output }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  disk.state.fault = undefined
  const found = `${call} ${left} ${code}: ${String(error)}`
  if (error !== undefined) {
    expect(error, found).toBeInstanceOf(TandemError)
    expect((error as TandemError).code, found).toMatch(/^(io|not-found)$/)
    expect((error as TandemError).message, found).toContain(code)
  }
  // A call whose failure changes nothing may be forgotten; whatever it was, nothing stands half-written.
  const content = await readFile(output, 'utf8')
  if (content !== 'old' || error === undefined) expect(await digest(), found).toBe(complete)
  // What cannot be removed stays under a name of its own.
  if (call !== 'rm') expect(await readdir(join(directory, 'out')), found).toEqual(['model.gguf'])
  for (const name of await readdir(join(directory, 'out'))) await rm(join(directory, 'out', name))
  return disk.state.hasFailed
}

const CALLS: Record<string, string[]> = {
  EIO: [
    'open',
    'read',
    'write',
    'sync',
    'fstat',
    'close',
    'stat',
    'statfs',
    'readdir',
    'readFile',
    'access',
    'rename',
    'rm',
  ],
  ENOSPC: ['open', 'write', 'sync', 'rename'],
  EMFILE: ['open', 'readdir', 'readFile'],
}

describe.each(Object.keys(CALLS))('%s', (code) => {
  it.each(CALLS[code] ?? [])('of every %s', async (call) => {
    let count = 0
    while (await attempt(call, code, count + 1)) count++
    if (call !== 'rm') expect(count).toBeGreaterThan(0)
  })
})

// What is flushed meanwhile begins after 64 MiB, more than the folder's conversion writes.
it.each(['EIO', 'ENOSPC'])('%s of a flush while a large file is written', async (code) => {
  const tensors = [{ name: 'x', type: GGML_TYPES.f32, shape: [1024, 20_480] }]
  let asked = 0
  const pieces = async function* () {
    for (let i = 0; i < 20; i++) {
      asked++
      yield new Uint8Array(4_194_304)
    }
  }
  await rm(output, { force: true })
  const write = () => writeGguf(output, { metadata: new Map(), tensors }, { data: pieces })
  disk.state.fault = { call: 'datasync', code, left: 1 }
  await expect(write()).rejects.toMatchObject({ code: 'io', message: expect.stringContaining(code) as string })
  expect(await readdir(join(directory, 'out'))).toEqual([])
  // The first flush begins behind the sixteenth piece; nothing is computed for a disk that takes no more.
  expect(asked).toBeLessThan(20)
  await write()
  expect((await readFile(output)).length).toBeGreaterThan(80_000_000)
  await rm(output)
})

it.each([1, 7, 4096])('reads and writes of at most %i bytes give the same file', async (atOnce) => {
  disk.state.atOnce = atOnce
  await convert(folder, { output })
  expect(await digest()).toBe(complete)
})
