/**
 * Stable error codes. They are part of the public interface: they may grow, never change.
 *
 * - `invalid-argument`: the caller gave something wrong; the message names it
 * - `invalid-file`: a file is damaged, hostile or not of the kind that it should be
 * - `unsupported-model`: a sound model of a kind that Tandem does not know
 * - `unsupported-option`: an option of transformers that Tandem does not have, or that does not fit the model or the place
 * - `not-found`: a model or a file of it is not there
 * - `io`: the file system failed, or has no room
 * - `library-missing`: the addon, or the libraries of llama.cpp, cannot be opened
 * - `library-mismatch`: llama.cpp is of another release than the addon was compiled for
 * - `library-conflict`: the process runs another build of llama.cpp already
 * - `device-unavailable`: there is no such device, or it does not work
 * - `out-of-memory`: memory does not suffice; found out before loading where it can be estimated
 * - `context-full`: more tokens than the context holds
 * - `too-many-sequences`: more hypotheses at once than the model was loaded for (`maxSequences`)
 * - `compute-failed`: llama.cpp failed, or the model computed NaN
 * - `engine-crashed`: the process of an engine ended unexpectedly
 * - `disposed`: the model or engine was disposed of before or meanwhile
 * - `aborted`: a signal ended the call; its reason is the `cause`
 */
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
  /** What would have been right. */
  expected?: string
  /** What came in its place. */
  received?: string
  /** What to do about it. */
  remedy?: string
  /** The error, or the reason of an abort, that led to this one. */
  cause?: unknown
}

/**
 * The only error class that Tandem throws on purpose. `message` is one line for people;
 * `code` is for programs and stays the same between releases. The `cause` is the error, or the reason, behind it.
 *
 * @example
 * try {
 *   await load('/models/absent')
 * } catch (error) {
 *   if (error instanceof TandemError && error.code === 'not-found') console.error(error.message)
 *   else throw error
 * }
 */
export class TandemError extends Error {
  override readonly name = 'TandemError'
  /** For programs: stays the same between releases. */
  readonly code: ErrorCode
  /** The message without its clauses. */
  readonly problem: string
  /** What would have been right, if that can be said. */
  readonly expected: string | undefined
  /** What came in its place. */
  readonly received: string | undefined
  /** What to do about it. */
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

/** What a generation rejects with whose signal said so. */
export function generationAborted(signal: AbortSignal | undefined): TandemError {
  return new TandemError('aborted', 'The generation was aborted', { cause: signal?.reason })
}
