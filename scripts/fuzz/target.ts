import type { TandemError } from '../../src/errors.ts'
import type { Random } from './random.ts'

/** What came of one input: it was taken, or it was refused with a code of ours. */
export type Outcome = string

/** A reader that is fed with broken input. Anything but an outcome of ours is a finding. */
export interface FuzzTarget {
  /** Makes one input out of `random` and reads it; throws what is no TandemError, or why an accepted input is wrong. */
  run(random: Random): Promise<Outcome>
  close?(): Promise<void>
}

/** `accepted`, or the code of the TandemError that `read` ended with. */
export async function outcomeOf(read: () => unknown): Promise<Outcome> {
  try {
    await read()
    return 'accepted'
  } catch (error) {
    if (!isOurs(error)) throw error
    requireSentence(error)
    return error.code
  }
}

/** By its name, because targets read the sources as well as the built package, each with a class of its own. */
function isOurs(error: unknown): error is TandemError {
  return error instanceof Error && error.name === 'TandemError' && 'code' in error
}

/** The promise of every error: one line of a length that can be read. */
function requireSentence({ message }: TandemError): void {
  if (message.length > 6_100 || /[\n\r]/.test(message)) {
    throw new Error(
      `The message is no sentence: ${JSON.stringify(message.slice(0, 200))} (${message.length} characters)`,
    )
  }
}
