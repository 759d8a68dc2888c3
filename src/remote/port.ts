import type { Endpoint, HostLink } from './endpoint.ts'

interface PortBase {
  postMessage(message: unknown): void
  start?(): void
  close?(): void
  ref?(): void
  unref?(): void
}

/** A `MessagePort` of the web platform or of Node.js. */
interface EventTargetPort extends PortBase {
  addEventListener(name: string, listener: (event: { data?: unknown }) => void): void
}

/** Electron's `MessagePortMain`, or `process.parentPort` of its utility processes. */
interface EmitterPort extends PortBase {
  on(name: string, listener: (event: { data?: unknown }) => void): unknown
}

/** One end of any message channel that clones what it carries and keeps its order. */
export type MessagePortLike = EventTargetPort | EmitterPort

/** A port as either side uses it. */
export function portEndpoint(port: MessagePortLike): Endpoint {
  return {
    post: (message) => port.postMessage(message),
    listen({ message, close }) {
      const on = (name: string, listener: (event: { data?: unknown }) => void) => {
        if ('addEventListener' in port) port.addEventListener(name, listener)
        else port.on(name, listener)
      }
      let isOpen = true
      const end = (how: string) => {
        if (isOpen) close({ how, isMemory: false, lastWords: '' })
        isOpen = false
      }
      on('message', ({ data }) => message(data))
      on('messageerror', () => end('a message that cannot be read'))
      on('close', () => end('a closed port'))
      port.start?.()
    },
  }
}

/** A port to a host that somebody else has started, and will end when it hears `close`. */
export function portLink(port: MessagePortLike): HostLink {
  return {
    ...portEndpoint(port),
    pid: undefined,
    hold: (isWaiting) => (isWaiting ? port.ref?.() : port.unref?.()),
    stop: async () => port.close?.(),
  }
}
