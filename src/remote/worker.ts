import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { type Ending, type HostLink, STOP_LIMIT } from './endpoint.ts'

/**
 * Starts a program in a worker thread. It keeps out of this process's stdout. Its stderr is this process's own, as that of
 * a model in this thread would be: to read it here would keep the process alive.
 */
export function startWorker(host: string | URL): HostLink {
  const worker = new Worker(host, { stdout: true, execArgv: [] })
  const hasEnded = ended(worker)
  return {
    pid: undefined,
    post: (message) => worker.postMessage(message),
    listen({ message, close }) {
      worker.on('message', message)
      hasEnded.then(close)
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
function ended(worker: Worker): Promise<Ending> {
  return new Promise((resolve) => {
    worker.once('error', (error: unknown) => {
      const isMemory = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      resolve({
        how: error instanceof Error ? `${error.name}: ${error.message}` : inspect(error),
        isMemory,
        lastWords: '',
      })
    })
    worker.once('exit', (code) => resolve({ how: `exit code ${code}`, isMemory: false, lastWords: '' }))
  })
}
