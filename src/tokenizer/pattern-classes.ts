/** Which code points a class of a pattern takes. */
export type CodePoints = (codePoint: number) => boolean

/** A class that begins somewhere in a pattern, and where it ends; undefined where it cannot be followed. */
type Read = { members: CodePoints; end: number } | undefined

const EVERYTHING: CodePoints = () => true

const CLASSES: Readonly<Record<string, RegExp>> = {
  d: /\p{Nd}/u,
  w: /[\p{L}\p{M}\p{N}\p{Pc}]/u,
  s: /\p{White_Space}/u,
  h: /[0-9A-Fa-f]/,
}

const CONTROLS: Readonly<Record<string, number>> = { t: 9, v: 11, n: 10, r: 13, f: 12, a: 7, e: 27 }

/** One plain character. */
export function literalMembers(pattern: string, start: number, ignoreCase: boolean): Read {
  const codePoint = pattern.codePointAt(start)
  if (codePoint === undefined) return undefined
  return { members: only(codePoint, ignoreCase), end: start + String.fromCodePoint(codePoint).length }
}

/** `.`, or what begins with a backslash: a class, a property, or a character. */
export function escapeMembers(pattern: string, start: number, ignoreCase: boolean): Read {
  if (pattern[start] === '.') return { members: EVERYTHING, end: start + 1 }
  const sign = pattern[start + 1]
  if (sign === undefined) return undefined
  const known = CLASSES[sign.toLowerCase()]
  if (known !== undefined) return { members: matching(known, sign !== sign.toLowerCase()), end: start + 2 }
  if (sign === 'p' || sign === 'P') return property(pattern, start)
  if (sign === 'R' || sign === 'N' || sign === 'O') return { members: EVERYTHING, end: start + 2 }
  if (sign === 'x' || sign === 'u') return numbered(pattern, start, ignoreCase)
  const control = CONTROLS[sign]
  if (control !== undefined) return { members: only(control, false), end: start + 2 }
  return /[A-Za-z0-9]/.test(sign) ? undefined : literalMembers(pattern, start + 1, ignoreCase)
}

/** A bracket expression; brackets may hold brackets, and `&&` intersects. */
export function classMembers(pattern: string, start: number, ignoreCase: boolean): Read {
  let at = start + 1
  const isNegated = pattern[at] === '^'
  if (isNegated) at += 1
  const first = at
  const unions: CodePoints[][] = [[]]
  while (at < pattern.length) {
    // A bracket that closes nothing yet is a member: []a], [^]a].
    if (pattern[at] === ']' && at > first) {
      const members: CodePoints = (point) => unions.every((union) => union.some((part) => part(point)))
      return { members: isNegated ? (point) => !members(point) : members, end: at + 1 }
    }
    if (pattern.startsWith('&&', at)) {
      unions.push([])
      at += 2
      continue
    }
    const item = classItem(pattern, at, ignoreCase)
    if (item === undefined) return undefined
    unions.at(-1)?.push(item.members)
    at = item.end
  }
  return undefined
}

function classItem(pattern: string, at: number, ignoreCase: boolean): Read {
  const posix = /^\[:\^?[a-z]+:\]/.exec(pattern.slice(at, at + 16))
  if (posix !== null) return { members: EVERYTHING, end: at + posix[0].length }
  if (pattern[at] === '[') return classMembers(pattern, at, ignoreCase)
  const low = pattern[at] === '\\' ? escapeMembers(pattern, at, ignoreCase) : literalMembers(pattern, at, ignoreCase)
  if (low === undefined || pattern[low.end] !== '-' || pattern[low.end + 1] === ']') return low
  const next = low.end + 1
  const high = pattern[next] === '\\' ? escapeMembers(pattern, next, false) : literalMembers(pattern, next, false)
  if (high === undefined) return undefined
  const [from, to] = [firstOf(pattern, at, low.end), firstOf(pattern, next, high.end)]
  // A range between classes is a mistake that Oniguruma may read in another way.
  if (from === undefined || to === undefined) return { members: EVERYTHING, end: high.end }
  const isWithin: CodePoints = (point) => point >= from && point <= to
  return { members: ignoreCase ? foldingCase(isWithin) : isWithin, end: high.end }
}

/** The code point that a single character of a pattern stands for. */
function firstOf(pattern: string, start: number, end: number): number | undefined {
  const text = pattern.slice(start, end)
  if (!text.startsWith('\\')) return text.codePointAt(0)
  const digits = /^\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4}))$/.exec(text)
  if (digits !== null) return Number.parseInt(digits[1] ?? digits[2] ?? digits[3] ?? '', 16)
  const sign = text.slice(1)
  return CONTROLS[sign] ?? (/^[A-Za-z0-9]/.test(sign) ? undefined : sign.codePointAt(0))
}

function numbered(pattern: string, start: number, ignoreCase: boolean): Read {
  const text = /^\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4})/.exec(pattern.slice(start, start + 12))?.[0]
  const codePoint = text === undefined ? undefined : firstOf(text, 0, text.length)
  if (text === undefined || codePoint === undefined) return undefined
  return { members: only(codePoint, ignoreCase), end: start + text.length }
}

/** `\p{L}`, `\p{^L}`, `\P{Han}`; a name that JavaScript does not know counts as everything. */
function property(pattern: string, start: number): Read {
  const found = /^\\([pP])\{(\^?)([A-Za-z0-9_ -]+)\}/.exec(pattern.slice(start, start + 80))
  if (found === null) return undefined
  const isNegated = (found[1] === 'P') !== (found[2] === '^')
  const end = start + found[0].length
  for (const name of [found[3], `Script=${found[3]}`]) {
    try {
      return { members: matching(new RegExp(`\\p{${name}}`, 'u'), isNegated), end }
    } catch {
      // Not a name of this kind: the next kind, or everything.
    }
  }
  return { members: EVERYTHING, end }
}

function matching(expression: RegExp, isNegated: boolean): CodePoints {
  return (point) => expression.test(String.fromCodePoint(point)) !== isNegated
}

function only(codePoint: number, ignoreCase: boolean): CodePoints {
  const isIt: CodePoints = (point) => point === codePoint
  return ignoreCase ? foldingCase(isIt) : isIt
}

function foldingCase(members: CodePoints): CodePoints {
  return (point) => {
    const text = String.fromCodePoint(point)
    return (
      members(point) || [text.toLowerCase(), text.toUpperCase()].some((other) => members(other.codePointAt(0) ?? -1))
    )
  }
}
