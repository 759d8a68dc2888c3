import { styleText } from 'node:util'
import { TandemError } from '../errors.ts'

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Whether a stream shows colours: FORCE_COLOR decides (0 and false: no), then a NO_COLOR that is not empty
 * (no-color.org), then whether it is a terminal that knows them.
 */
export function hasColors(stream: Pick<NodeJS.WriteStream, 'isTTY'>, environment: Environment = process.env): boolean {
  const forced = environment['FORCE_COLOR']
  if (forced) return forced !== '0' && forced !== 'false'
  if (environment['NO_COLOR']) return false
  return stream.isTTY === true && environment['TERM'] !== 'dumb'
}

/** The text in a style, where the stream shows any. */
export function styled(stream: Pick<NodeJS.WriteStream, 'isTTY'>, style: Style, text: string): string {
  // Node.js' own check differs between its versions, and takes an empty NO_COLOR for one that counts.
  return hasColors(stream) ? styleText(style, text, { validateStream: false }) : text
}

/** Where a command writes: results to `out`, everything else to `err`, as loud as the user wishes. */
export class Terminal {
  readonly out: NodeJS.WriteStream
  readonly err: NodeJS.WriteStream
  verbosity: 'quiet' | 'normal' | 'verbose' = 'normal'

  constructor(out: NodeJS.WriteStream, err: NodeJS.WriteStream) {
    this.out = out
    this.err = err
  }

  /** The stream for what is drawn and drawn again; undefined where nobody would see it, or nobody wishes to. */
  get canvas(): NodeJS.WriteStream | undefined {
    const isDrawable = this.err.isTTY && process.env['TERM'] !== 'dumb'
    return isDrawable && this.verbosity !== 'quiet' ? this.err : undefined
  }

  /** Something that the user should know though nothing failed. */
  notice(text: string): void {
    if (this.verbosity !== 'quiet') this.err.write(`tandem: ${text}\n`)
  }

  /** A word to somebody who sits at the terminal. */
  hint(text: string): void {
    if (this.verbosity !== 'quiet') this.err.write(`${styled(this.err, 'dim', text)}\n`)
  }

  /** Something that only --verbose tells. */
  detail(name: string, value: string): void {
    if (this.verbosity === 'verbose') this.err.write(styled(this.err, 'dim', `tandem: ${name}: ${value}\n`))
  }

  /** An error as one line; with --verbose also where it comes from. */
  error(error: unknown): void {
    const line = errorLine(error)
    this.err.write(`${styled(this.err, 'red', 'tandem:')}${line.slice('tandem:'.length)}\n`)
    if (this.verbosity === 'verbose') this.err.write(styled(this.err, 'dim', `${origin(error)}\n`))
  }
}

/** An error as the one line that people see: `tandem: [code] message`. */
export function errorLine(error: unknown): string {
  const { code, message } = errorObject(error)
  return `tandem: [${code}] ${message.replace(/\s*[\r\n]+\s*/g, ' ')}`
}

/** An error as the object that programs see. */
export function errorObject(error: unknown): { code: string; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  return { code: error instanceof TandemError ? error.code : 'internal', message }
}

/** The stack of an error and of its causes. */
function origin(error: unknown): string {
  const lines: string[] = []
  // A cause may name its own effect.
  const seen = new Set<unknown>()
  for (let one = error; one !== undefined && !seen.has(one); one = one instanceof Error ? one.cause : undefined) {
    const text = one instanceof Error ? (one.stack ?? one.message) : String(one)
    lines.push(seen.size === 0 ? text : `caused by ${text}`)
    seen.add(one)
  }
  return lines.join('\n')
}
