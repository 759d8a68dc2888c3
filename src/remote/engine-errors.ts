import { TandemError } from '../errors.ts'
import type { Ending } from './endpoint.ts'
import { PROTOCOL_VERSION } from './protocol.ts'

const RESTART = 'Start it again with restart(), and load its models again'

/** Characters of a host's last words that a message repeats; a longer clause would lose its end, which tells most. */
const QUOTED = 1_000

/** The engine is gone, and nobody had asked it to go. */
export function crashError({ how, isMemory, lastWords }: Ending): TandemError {
  const quote = lastWords.trim().slice(-QUOTED)
  const memory = 'Perhaps the system ran out of memory: try a smaller model, quantization or contextSize. '
  return new TandemError('engine-crashed', 'The engine ended unexpectedly', {
    received: `${how}${quote === '' ? '' : `, after it wrote: ${quote}`}`,
    remedy: `${isMemory ? memory : ''}${RESTART}`,
    ...(lastWords === '' ? {} : { cause: new Error(lastWords) }),
  })
}

export function silenceError(milliseconds: number): TandemError {
  return new TandemError('engine-crashed', 'The engine does not speak', {
    expected: `a greeting within ${milliseconds / 1000} seconds`,
    remedy: 'Is the port new, and served with serveEngine on its other side?',
  })
}

export function versionError(version: number): TandemError {
  return new TandemError('library-mismatch', 'The engine is of another version of Tandem', {
    expected: `version ${PROTOCOL_VERSION} of the protocol`,
    received: String(version),
    remedy: 'Start it from the same installation of tandem-llm',
  })
}

export function protocolError(received: string): TandemError {
  return new TandemError('engine-crashed', 'The engine sent a message that breaks the protocol', {
    received,
    remedy: RESTART,
  })
}

export function closedError(): TandemError {
  return new TandemError('disposed', 'The engine is disposed', { remedy: 'Start another, and load the model there' })
}

export function abortedError({ reason }: AbortSignal): TandemError {
  return new TandemError('aborted', 'The call of the engine was aborted', { cause: reason })
}

/** What structured clone has refused. */
export function cloneError(cause: unknown): TandemError {
  return new TandemError('invalid-argument', 'This cannot be sent to an engine in another thread or process', {
    expected: 'plain data',
    received: cause instanceof Error ? cause.message : String(cause),
    cause,
  })
}
