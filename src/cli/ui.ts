/** The name of a value, filled up to `width` columns; the value may follow as it comes. */
export function label(name: string, width: number): string {
  return `${name}${' '.repeat(Math.max(width - displayWidth(name), 0))}  `
}

/** Columns of a terminal that a text takes: an ideograph takes two. */
export function displayWidth(text: string): number {
  const wide = text.match(
    /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6]/g,
  )
  return text.length + (wide?.length ?? 0)
}

/** A size of memory or of a file for people. */
export function byteSize(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`
}

/** A share of `width` columns, to an eighth of a column (the blocks of Unicode from U+2588 on). */
export function bar(value: number, most: number, width: number): string {
  const eighths = Math.round((value / most) * width * 8) || 0
  return '█'.repeat(Math.floor(eighths / 8)) + (['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8] ?? '')
}

/** A bar on a terminal that redraws itself; silent without a stream to draw on. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream | undefined
  readonly #label: string
  #shown = ''

  constructor(stream: NodeJS.WriteStream | undefined, label: string) {
    this.#stream = stream
    this.#label = label
  }

  update(done: number, total: number): void {
    if (this.#stream === undefined || total <= 0) return
    const share = Math.min(done / total, 1)
    const width = Math.max(10, Math.min(40, (this.#stream.columns || 80) - displayWidth(this.#label) - 10))
    const filled = Math.round(share * width)
    const line = `${this.#label} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${Math.floor(share * 100)}%`
    if (line !== this.#shown) this.#stream.write(`\r${line}`)
    this.#shown = line
  }

  /** Removes the bar. */
  end(): void {
    if (this.#shown !== '') this.#stream?.write(`\r${' '.repeat(displayWidth(this.#shown))}\r`)
    this.#shown = ''
  }
}
