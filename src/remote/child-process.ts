import { type ChildProcess, fork } from 'node:child_process'
import { Socket } from 'node:net'
import { type Ending, type HostLink, STOP_LIMIT } from './endpoint.ts'

/** Milliseconds for what a process wrote before its end, and for the end itself once the channel is closed. */
const GRACE = 200

/** Linux ends the largest process with SIGKILL when memory runs out; shells and containers report it as 137. */
const KILLED = 128 + 9

/** Characters that are kept of what a host writes to stderr. */
const LAST_WORDS = 4_096

/** Starts a program in a process of its own; its stdout is dropped and the end of its stderr kept. */
export function forkHost(host: string | URL): HostLink {
  const child = fork(host, {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Flags of this process may be for its own program only, such as --input-type.
    execArgv: [],
  })
  const lastWords = rememberLastWords(child.stderr)
  if (child.stderr instanceof Socket) child.stderr.unref()
  const hasEnded = ended(child)
  return {
    pid: child.pid,
    post: (message) => {
      // The callback takes what send would throw once the channel is closed; the listener hears of that by itself.
      child.send(message as object, () => undefined)
    },
    listen({ message, close }) {
      child.on('message', message)
      hasEnded.then((ending) => close({ ...ending, lastWords: lastWords() }))
    },
    hold(isWaiting) {
      const change = isWaiting ? 'ref' : 'unref'
      child[change]()
      child.channel?.[change]()
    },
    async stop(limit = STOP_LIMIT) {
      child.ref()
      const timer = setTimeout(() => child.kill('SIGKILL'), limit)
      await hasEnded
      clearTimeout(timer)
      child.unref()
    },
  }
}

/** How the process ended, once it has and what it wrote has been read. */
function ended(child: ChildProcess): Promise<Omit<Ending, 'lastWords'>> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ how: error.message, isMemory: false }))
    child.once('exit', async (code, signal) => {
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`
      await Promise.race([heard(child, 'close'), delay(GRACE)])
      resolve({ how, isMemory: signal === 'SIGKILL' || code === KILLED })
    })
    // A host whose channel is closed is of no use, whatever it still does.
    child.once('disconnect', async () => {
      await Promise.race([heard(child, 'exit'), delay(GRACE)])
      if (child.exitCode !== null || child.signalCode !== null) return
      resolve({ how: 'a closed channel', isMemory: false })
      child.kill('SIGKILL')
    })
  })
}

/** Unlike `once` of node:events it does not fail when something else goes wrong in the meantime. */
function heard(child: ChildProcess, event: string): Promise<void> {
  return new Promise((resolve) => child.once(event, () => resolve()))
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** Keeps the end of what a stream says. */
function rememberLastWords(stream: NodeJS.ReadableStream | null): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-LAST_WORDS)
  })
  return () => text
}
