import type { BeamText, GenerationEvent } from '../runtime/generation-run.ts'
import { styled } from './terminal.ts'
import { displayWidth } from './ui.ts'

/** Shows the beams of a search while it runs: a block of lines on a terminal that each step draws anew. */
export class BeamDisplay {
  readonly #stream: NodeJS.WriteStream | undefined
  #lines = 0

  constructor(stream: NodeJS.WriteStream | undefined) {
    this.#stream = stream
  }

  /** What `onStep` of a generation calls; silent for other searches, and without a stream to draw on. */
  readonly show = (event: GenerationEvent): void => {
    const stream = this.#stream
    if (event.kind !== 'beams' || stream === undefined) return
    const lines = [
      ...event.finished.map((beam) => beamLine(stream, '■', beam)),
      ...event.running.map((beam) => beamLine(stream, '…', beam)),
    ]
    this.end()
    stream.write(lines.map((line) => `${line}\n`).join(''))
    this.#lines = lines.length
  }

  /** Removes the block. */
  end(): void {
    if (this.#lines > 0) this.#stream?.write(`\u001B[${this.#lines}A\u001B[0J`)
    this.#lines = 0
  }
}

function beamLine(stream: NodeJS.WriteStream, mark: string, { score, text }: BeamText): string {
  const head = `${mark} ${score.toFixed(3).padStart(9)}  `
  const room = (stream.columns || 80) - head.length - 1
  return `${styled(stream, 'dim', head)}${lastColumns(text.replace(/\s+/g, ' '), room)}`
}

/** The end of a text is where something happens. */
function lastColumns(text: string, columns: number): string {
  const characters = Array.from(text)
  let begin = characters.length
  let width = 0
  while (begin > 0) {
    width += displayWidth(characters[begin - 1] ?? '')
    if (width > columns) break
    begin -= 1
  }
  return characters.slice(begin).join('')
}
