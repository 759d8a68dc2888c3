import { styleText } from 'node:util'
import type { BeamText, GenerationEvent } from '../runtime/generation-run.ts'
import { displayWidth } from './ui.ts'

/** Shows the beams of a search while it runs: a block of lines on a terminal that each step draws anew. */
export class BeamDisplay {
  readonly #stream: NodeJS.WriteStream
  #lines = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  /** What `onStep` of a generation calls; silent for other searches, and where there is no terminal. */
  readonly show = (event: GenerationEvent): void => {
    if (event.kind !== 'beams' || !this.#stream.isTTY) return
    const lines = [
      ...event.finished.map((beam) => this.#line('■', beam)),
      ...event.running.map((beam) => this.#line('…', beam)),
    ]
    this.end()
    this.#stream.write(lines.map((line) => `${line}\n`).join(''))
    this.#lines = lines.length
  }

  /** Removes the block. */
  end(): void {
    if (this.#lines > 0) this.#stream.write(`\u001B[${this.#lines}A\u001B[0J`)
    this.#lines = 0
  }

  #line(mark: string, { score, text }: BeamText): string {
    const head = `${mark} ${score.toFixed(3).padStart(9)}  `
    const room = (this.#stream.columns || 80) - head.length - 1
    return `${styleText('dim', head, { stream: this.#stream })}${lastColumns(text.replace(/\s+/g, ' '), room)}`
  }
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
