/** What a group of a pattern holds so far. */
interface Group {
  /** A repetition without an upper bound, or alternatives: more than one way to match the same text. */
  hasChoice: boolean
}

/**
 * Whether a pattern repeats a group that itself can match a text in several ways, as `(a+)+` and `(a|a)*` do: a matcher
 * that goes back may then try exponentially many. The pre-tokenizers in use have no such group.
 */
export function repeatsRepetition(pattern: string): boolean {
  const groups: Group[] = [{ hasChoice: false }]
  let closed: Group | undefined
  for (let at = 0; at < pattern.length; ) {
    const group = groups.at(-1) ?? { hasChoice: false }
    const repetition = /^(?:[*+]|\{\d*,\})/.exec(pattern.slice(at, at + 24))?.[0]
    if (repetition !== undefined) {
      if (closed?.hasChoice === true) return true
      group.hasChoice = true
      at += repetition.length
      // A second sign makes the repetition lazy or possessive and repeats nothing.
      if (pattern[at] === '?' || pattern[at] === '+') at += 1
      closed = undefined
      continue
    }
    closed = undefined
    const sign = pattern[at]
    if (sign === '(') groups.push({ hasChoice: false })
    else if (sign === '|') group.hasChoice = true
    else if (sign === ')' && groups.length > 1) {
      closed = groups.pop()
      if (closed?.hasChoice === true)
        groups.forEach((outer) => {
          outer.hasChoice = true
        })
    }
    at = sign === '[' ? classEnd(pattern, at) : at + (sign === '\\' ? 2 : 1)
  }
  return false
}

/** Position behind the character class that begins at `start`; classes may hold classes. */
function classEnd(pattern: string, start: number): number {
  let depth = 0
  for (let at = start; at < pattern.length; at += pattern[at] === '\\' ? 2 : 1) {
    if (pattern[at] === '[') depth += 1
    // A bracket that closes nothing yet is a member: []a], [^]a].
    else if (pattern[at] === ']' && !/^\[\^?$/.test(pattern.slice(start, at))) depth -= 1
    if (depth === 0) return at + 1
  }
  return pattern.length
}
