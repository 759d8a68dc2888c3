import { inspect } from 'node:util'
import { protocolError } from './engine-errors.ts'
import type { HostMessage } from './protocol.ts'

type Fields = Readonly<Record<string, unknown>>

/** What the fields of each kind of message must be. */
const RULES: Readonly<Record<HostMessage['kind'], (fields: Fields) => boolean>> = {
  hello: ({ version }) => Number.isSafeInteger(version),
  progress: ({ call, progress }) => Number.isSafeInteger(call) && isObject(progress),
  piece: ({ call, piece }) => Number.isSafeInteger(call) && typeof piece === 'string',
  step: ({ call, event }) => Number.isSafeInteger(call) && isObject(event),
  answer: ({ call }) => Number.isSafeInteger(call),
  error: ({ call, error }) =>
    (call === null || Number.isSafeInteger(call)) &&
    isObject(error) &&
    typeof error['code'] === 'string' &&
    typeof error['problem'] === 'string',
}

/**
 * A message that came from a host. Undefined for what is none: others may speak on the channel of a child process, such
 * as `node --watch`, which has its children report the files that they read.
 * @throws TandemError `engine-crashed` for a message of the protocol with other fields than it should have
 */
export function readHostMessage(value: unknown): HostMessage | undefined {
  if (!isObject(value)) return undefined
  const { kind } = value
  if (typeof kind !== 'string' || !Object.hasOwn(RULES, kind)) return undefined
  if (RULES[kind as HostMessage['kind']](value)) return value as unknown as HostMessage
  throw protocolError(inspect(value, { depth: 1 }))
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}
