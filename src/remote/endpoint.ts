/** One end of a channel that carries structured clones, in order. */
export interface Endpoint {
  /** Throws for what cannot be cloned; does nothing once the other side is gone. */
  post(message: unknown): void
  /** To be called once, before the first message can have come. */
  listen(listener: EndpointListener): void
}

export interface EndpointListener {
  message(value: unknown): void
  /** Called once, when the other side is gone. */
  close(ending: Ending): void
}

/** What is known of the other side's end. */
export interface Ending {
  /** `signal SIGKILL`, `exit code 134`, … */
  how: string
  /** True where the system ends processes in this way that take too much memory. */
  isMemory: boolean
  /** What it wrote to stderr at last. */
  lastWords: string
}

/** A client's end, which owns the host on the other side. */
export interface HostLink extends Endpoint {
  /** Id of the host's process, if it has one of its own. */
  readonly pid: number | undefined
  /** Whether this process stays alive for the host. */
  hold(isWaiting: boolean): void
  /** Resolves when the host has ended, which it is made to after `limit` milliseconds. Never rejects. */
  stop(limit?: number): Promise<void>
}

/** Milliseconds that a host has to free its models after `close`; it may be in the middle of loading one. */
export const STOP_LIMIT = 5_000
