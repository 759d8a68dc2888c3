/** The program of an engine: serves models to whoever started it, as a worker thread or a child process. */
import { parentPort } from 'node:worker_threads'
import type { Endpoint } from './endpoint.ts'
import { portEndpoint } from './port.ts'

/** Milliseconds to free models once the parent has gone; the system then frees what is left. */
const ORPHAN_LIMIT = 2_000

/** The channel to the parent; undefined for a program that somebody has started by hand. */
function parentEndpoint(): Endpoint | undefined {
  if (parentPort !== null) return portEndpoint(parentPort)
  return process.send === undefined ? undefined : processEndpoint()
}

function processEndpoint(): Endpoint {
  return {
    // The callback takes what send would throw once the parent has gone.
    post: (message) => process.send?.(message, undefined, undefined, () => undefined),
    listen({ message, close }) {
      const end = () => {
        close({ how: 'a parent that has gone', isMemory: false, lastWords: '' })
        setTimeout(() => process.exit(0), ORPHAN_LIMIT)
      }
      process.on('message', message)
      process.once('disconnect', end)
      if (!process.connected) end()
    },
  }
}

// Terminals send SIGINT and SIGHUP, and service managers SIGTERM, to all processes of a group at once. What they mean is
// for the parent to decide, which may still want its answers; when it ends, so does the channel, and this process.
if (parentPort === null) {
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => undefined)
}

const endpoint = parentEndpoint()
if (endpoint === undefined) {
  process.stderr.write('tandem: this program is started by startEngine; it has no one to serve\n')
  process.exitCode = 1
} else {
  // Imported late: the signals above count from the beginning.
  import('./host.ts').then(({ serve }) => serve(endpoint)).then(() => process.exit(0))
}
