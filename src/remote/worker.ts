import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { type Ending, type HostLink, rememberLastWords, STOP_LIMIT } from './endpoint.ts'

/** Starts a program in a worker thread; what it writes is kept from this process's own output. */
export function startWorker(host: string | URL): HostLink {
  const worker = new Worker(host, { stdout: true, stderr: true, execArgv: [] })
  const lastWords = rememberLastWords(worker.stderr)
  const hasEnded = ended(worker)
  return {
    pid: undefined,
    post: (message) => worker.postMessage(message),
    listen({ message, close }) {
      worker.on('message', message)
      hasEnded.then((ending) => close({ ...ending, lastWords: lastWords() }))
    },
    hold: (isWaiting) => (isWaiting ? worker.ref() : worker.unref()),
    async stop(limit = STOP_LIMIT) {
      worker.ref()
      const timer = setTimeout(() => worker.terminate(), limit)
      await hasEnded
      clearTimeout(timer)
    },
  }
}

/** How the thread ended, once it has. */
function ended(worker: Worker): Promise<Omit<Ending, 'lastWords'>> {
  return new Promise((resolve) => {
    worker.once('error', (error: unknown) => {
      const isMemory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      resolve({ how: error instanceof Error ? `${error.name}: ${error.message}` : inspect(error), isMemory })
    })
    worker.once('exit', (code) => resolve({ how: `exit code ${code}`, isMemory: false }))
  })
}
