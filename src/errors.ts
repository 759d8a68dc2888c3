/** Stable error codes. They are part of the public interface: they may grow, never change. */
export type ErrorCode =
  | 'invalid-argument'
  | 'invalid-file'
  | 'unsupported-model'
  | 'unsupported-option'
  | 'not-found'
  | 'io'
  | 'library-missing'
  | 'library-mismatch'
  | 'library-conflict'
  | 'device-unavailable'
  | 'out-of-memory'
  | 'context-full'
  | 'too-many-sequences'
  | 'compute-failed'
  | 'engine-crashed'
  | 'disposed'
  | 'aborted'

/** What an error can say beside its sentence: what was expected, what came, and what to do about it. */
export interface ErrorDetails {
  expected?: string
  received?: string
  remedy?: string
  cause?: unknown
}

/**
 * The only error class that Tandem throws on purpose. `message` is one line for people;
 * `code` is for programs and stays the same between releases.
 */
export class TandemError extends Error {
  override readonly name = 'TandemError'
  readonly code: ErrorCode
  /** The message without its clauses. */
  readonly problem: string
  readonly expected: string | undefined
  readonly received: string | undefined
  readonly remedy: string | undefined

  constructor(code: ErrorCode, problem: string, details: ErrorDetails = {}) {
    super(sentence(problem, details), details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.problem = readable(problem)
    this.expected = readable(details.expected)
    this.received = readable(details.received)
    this.remedy = readable(details.remedy)
  }
}

/** Longest clause of a message, in UTF-16 units: names in a file can have a hundred million. */
const MAX_CLAUSE_LENGTH = 1_500

/** A clause in one line: what stands in a file must not look like a second message, nor fill a log. */
function readable<T extends string | undefined>(clause: T): T | string {
  if (clause === undefined) return clause
  // Callers without types can bring anything this far.
  const given = String(clause)
  const text = given.length > MAX_CLAUSE_LENGTH ? `${given.slice(0, MAX_CLAUSE_LENGTH)}…` : given
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}

function sentence(problem: string, { expected, received, remedy }: ErrorDetails): string {
  const clauses = [
    expected === undefined ? undefined : `expected ${readable(expected)}`,
    received === undefined ? undefined : `received ${readable(received)}`,
  ].filter((clause) => clause !== undefined)
  const facts = clauses.length === 0 ? '' : `: ${clauses.join(', ')}`
  return `${readable(problem)}${facts}${remedy === undefined ? '' : `. ${readable(remedy)}`}`
}
