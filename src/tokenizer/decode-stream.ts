/** What a stream needs to know of its tokenizer. */
export interface StreamVocabulary {
  decode(ids: readonly number[]): string
  /** More ids could still change `text`, the text of these. */
  isUnfinished(ids: readonly number[], text: string): boolean
}

/** Ids that a rule of a decoder may look back at; those in use look back at two characters. */
const CONTEXT_IDS = 16

/**
 * Decodes ids as they come. The pieces never hold half a character, and joined they are what `decode` says of all ids.
 *
 * Each id is decoded together with those before it and the difference is emitted: a decoder treats the very first token
 * in a way of its own (Metaspace drops its space), and only there. A piece ends where the bytes of a character end;
 * until then its ids wait.
 */
export class DecodeStream {
  readonly #vocabulary: StreamVocabulary
  /** Ids of the last pieces, then the ids that wait. */
  #window: number[] = []
  /** Number of ids of each of those pieces. */
  #pieces: number[] = []
  /** Text of those pieces. */
  #emitted = ''

  constructor(vocabulary: StreamVocabulary) {
    this.#vocabulary = vocabulary
  }

  /** Takes the next id and returns the text that has become certain, often none. */
  push(id: number): string {
    this.#window.push(id)
    const text = this.#vocabulary.decode(this.#window)
    if (this.#vocabulary.isUnfinished(this.#window, text) || !text.startsWith(this.#emitted)) return ''
    const piece = text.slice(this.#emitted.length)
    if (piece !== '') this.#moveOn()
    return piece
  }

  /** Returns what still waits, as `decode` would show it at the end, and starts anew. */
  finish(): string {
    const piece = this.#vocabulary.decode(this.#window).slice(this.#emitted.length)
    this.#window = []
    this.#pieces = []
    this.#emitted = ''
    return piece
  }

  /** Makes the waiting ids a piece and forgets the pieces that no rule looks back at. */
  #moveOn(): void {
    const known = this.#pieces.reduce((sum, length) => sum + length, 0)
    this.#pieces.push(this.#window.length - known)
    for (let first = this.#pieces[0] ?? 0; this.#window.length - first >= CONTEXT_IDS; first = this.#pieces[0] ?? 0) {
      this.#window.splice(0, first)
      this.#pieces.shift()
    }
    this.#emitted = this.#vocabulary.decode(this.#window)
  }
}
