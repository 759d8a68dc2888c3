import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import type { Endpoint } from './endpoint.ts'
import { HANDLERS, type HostedModels, type RunningCall } from './handlers.ts'
import { type MessagePortLike, portEndpoint } from './port.ts'
import {
  type CallKind,
  type ClientMessage,
  type HostMessage,
  PROTOCOL_VERSION,
  portableError,
  type Request,
} from './protocol.ts'

/**
 * Serves models of this process over a port, such as one that Electron's main process has sent to a utility process;
 * `connectEngine` takes the other one. Resolves when the client has gone and all of its models are freed.
 */
export function serveEngine(port: MessagePortLike): Promise<void> {
  return serve(portEndpoint(port))
}

/** As {@link serveEngine}, over any channel. */
export async function serve(endpoint: Endpoint): Promise<void> {
  const models: HostedModels = new Map()
  const calls = new Map<number, Served>()
  let isOpen = true
  await new Promise<void>((resolve) => {
    const end = () => {
      isOpen = false
      resolve()
    }
    endpoint.listen({
      message: (value) => {
        const message = isOpen ? read(value, endpoint) : undefined
        if (message?.kind === 'close') end()
        else if (message?.kind === 'abort') calls.get(message.call)?.abort.abort()
        else if (message?.kind === 'leave') calls.get(message.call)?.running.run?.leave()
        else if (message !== undefined) {
          const served = answer(message, models, endpoint)
          calls.set(message.call, served)
          served.ended.finally(() => calls.delete(message.call))
        }
      },
      close: end,
    })
    say(endpoint, { kind: 'hello', version: PROTOCOL_VERSION })
  })
  for (const { abort } of calls.values()) abort.abort()
  await Promise.all([...calls.values()].map(({ ended }) => ended))
  await Promise.allSettled([...models.values()].map(({ model }) => model.dispose()))
}

/** A request that is being answered; `ended` never rejects. */
interface Served {
  running: RunningCall
  abort: AbortController
  ended: Promise<void>
}

function answer(request: Request, models: HostedModels, endpoint: Endpoint): Served {
  const { call } = request
  const abort = new AbortController()
  const running: RunningCall = { signal: abort.signal, tell: (message) => say(endpoint, message) }
  const respond = async () => {
    try {
      say(endpoint, { kind: 'answer', call, value: await handle(request, models, running) })
    } catch (error) {
      const result = running.run === undefined ? {} : { result: running.run.result() }
      say(endpoint, { kind: 'error', call, error: portableError(error), ...result })
    }
  }
  return { running, abort, ended: respond() }
}

function handle<Kind extends CallKind>(request: Request<Kind>, models: HostedModels, running: RunningCall) {
  const handler = HANDLERS[request.kind]
  return handler(request, models, running)
}

function say(endpoint: Endpoint, message: HostMessage): void {
  endpoint.post(message)
}

/** A message of the client; one that is none is answered with an error and undefined here. */
function read(value: unknown, endpoint: Endpoint): ClientMessage | undefined {
  const { kind, call }: { kind?: unknown; call?: unknown } = typeof value === 'object' && value !== null ? value : {}
  if (kind === 'close') return { kind }
  const isKind = kind === 'abort' || kind === 'leave' || (typeof kind === 'string' && Object.hasOwn(HANDLERS, kind))
  if (isKind && Number.isSafeInteger(call)) return value as ClientMessage
  const error = new TandemError('invalid-argument', 'The engine does not understand this message', {
    expected: `a call's number and one of ${Object.keys(HANDLERS).join(', ')}, abort, leave, close`,
    received: inspect(value, { depth: 0 }),
  })
  say(endpoint, { kind: 'error', call: Number.isSafeInteger(call) ? Number(call) : null, error: portableError(error) })
  return undefined
}
