import { type CodePoints, classMembers, escapeMembers, literalMembers } from './pattern-classes.ts'

/** A pattern of Oniguruma, as far as it decides which ways there are to match a text. */
export type PatternNode =
  | { kind: 'character'; members: CodePoints }
  | { kind: 'sequence' | 'choice'; parts: readonly PatternNode[] }
  | { kind: 'repeat'; body: PatternNode; least: number; most: number }
  /** Takes no text and may fail: an anchor, or the look-around whose inside is `body`. */
  | { kind: 'assertion'; body?: PatternNode }

/** Signs of what this reader does not follow: back-references, calls, conditions, comments, callouts, absence. */
const UNFOLLOWED = /^\((?:\?[#(~&@{R]|\*)|^\\[1-9kgKX]/

/** Bounds that keep the work on a hostile pattern small; those in use have 700 characters and three levels. */
const MAX_LENGTH = 10_000
const MAX_DEPTH = 100

/**
 * Reads a pattern in Oniguruma's own syntax (https://github.com/kkos/oniguruma/blob/master/doc/RE).
 * Undefined for a construct whose ways of matching it does not follow; no tokenizer in use has one.
 */
export function parsePattern(pattern: string): PatternNode | undefined {
  if (pattern.length > MAX_LENGTH) return undefined
  const reader = new Reader(pattern)
  const node = reader.choice(false)
  return reader.isDone && !reader.isLost ? node : undefined
}

/** A step down through the pattern, one function for each level of its grammar. */
class Reader {
  isLost = false
  readonly #pattern: string
  #at = 0
  #depth = 0

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  get isDone(): boolean {
    return this.#at >= this.#pattern.length
  }

  choice(ignoreCase: boolean): PatternNode {
    if (++this.#depth > MAX_DEPTH) this.isLost = true
    const parts = [this.#sequence(ignoreCase)]
    while (!this.isLost && this.#take('|')) parts.push(this.#sequence(ignoreCase))
    this.#depth -= 1
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'choice', parts }
  }

  #sequence(ignoreCase: boolean): PatternNode {
    const parts: PatternNode[] = []
    while (!this.isDone && !this.isLost && !this.#sees('|') && !this.#sees(')')) {
      const flag = /^\(\?([im]*)(?:-([im]+))?\)/.exec(this.#pattern.slice(this.#at, this.#at + 12))
      if (flag === null) {
        parts.push(this.#repeated(ignoreCase))
        continue
      }
      // The flags hold for the rest of the group, alternatives included.
      this.#at += flag[0].length
      parts.push(this.choice(flag[1]?.includes('i') === true || (ignoreCase && flag[2]?.includes('i') !== true)))
    }
    return { kind: 'sequence', parts }
  }

  #repeated(ignoreCase: boolean): PatternNode {
    let body = this.#atom(ignoreCase)
    for (;;) {
      const sign = /^(?:[*+?]|\{(\d*)(,?)(\d*)\})/.exec(this.#pattern.slice(this.#at, this.#at + 24))
      if (sign === null || sign[0] === '{}' || sign[0] === '{,}') return body
      this.#at += sign[0].length
      const [least, most] = bounds(sign)
      body = { kind: 'repeat', body, least, most }
      // Lazy and possessive signs only change the order of tries; after {n,m} a + repeats once more.
      if (this.#sees('?') || (this.#sees('+') && sign[2] === undefined)) this.#at += 1
    }
  }

  #atom(ignoreCase: boolean): PatternNode {
    const rest = this.#pattern.slice(this.#at, this.#at + 3)
    if (UNFOLLOWED.test(rest)) this.isLost = true
    if (this.#sees('(')) return this.#group(ignoreCase)
    if (this.#sees('[')) return this.#members(classMembers(this.#pattern, this.#at, ignoreCase))
    if (/^(?:[\^$]|\\[AzZbBG])/.test(rest)) {
      this.#at += rest.startsWith('\\') ? 2 : 1
      return { kind: 'assertion' }
    }
    if (this.#sees('\\') || this.#sees('.')) return this.#members(escapeMembers(this.#pattern, this.#at, ignoreCase))
    return this.#members(literalMembers(this.#pattern, this.#at, ignoreCase))
  }

  #group(ignoreCase: boolean): PatternNode {
    const head = /^\((?:\?(?:(<?[=!])|>|:|<[A-Za-z_]\w*>|([im]*)(?:-([im]+))?:))?/.exec(this.#pattern.slice(this.#at))
    this.#at += head?.[0].length ?? 1
    if (head?.[0] === '(' && this.#sees('?')) this.isLost = true
    const inside = this.choice(head?.[2]?.includes('i') === true || (ignoreCase && head?.[3]?.includes('i') !== true))
    if (!this.#take(')')) this.isLost = true
    return head?.[1] === undefined ? inside : { kind: 'assertion', body: inside }
  }

  #members(read: { members: CodePoints; end: number } | undefined): PatternNode {
    if (read === undefined) this.isLost = true
    this.#at = read?.end ?? this.#pattern.length
    return { kind: 'character', members: read?.members ?? (() => true) }
  }

  #sees(sign: string): boolean {
    return this.#pattern.startsWith(sign, this.#at)
  }

  #take(sign: string): boolean {
    if (!this.#sees(sign)) return false
    this.#at += sign.length
    return true
  }
}

function bounds([text, least, comma, most]: RegExpExecArray): [number, number] {
  if (text === '*') return [0, Number.POSITIVE_INFINITY]
  if (text === '+') return [1, Number.POSITIVE_INFINITY]
  if (text === '?') return [0, 1]
  if (comma === '') return [Number(least), Number(least)]
  return [Number(least), most === '' ? Number.POSITIVE_INFINITY : Number(most)]
}
