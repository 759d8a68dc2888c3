import { invalidSafetensors } from './safetensors-header.ts'

/** Header, tensor, shape: nothing in the format is nested deeper. */
const MAX_DEPTH = 3

/** The largest checkpoints have some 100,000 tensors in all their shards together. */
const MAX_NAMES = 262_144

/** Seven commas describe a tensor of two dimensions. */
const MAX_COMMAS = 16 * MAX_NAMES

/**
 * What JSON.parse lets pass: a name twice in an object (it keeps the last), and nesting and lists without end. One pass
 * over the characters, because a regular expression would need quadratic time for some broken headers.
 * @throws TandemError `invalid-file`
 */
export function checkStructure(text: string, file: string): void {
  const names: Set<string>[] = []
  let commas = 0
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character === ',') commas++
    else if (character === '{' || character === '[') {
      if (names.push(new Set()) > MAX_DEPTH) {
        throw invalidSafetensors(file, 'has a header that is nested too deep', `${MAX_DEPTH} levels`, 'more')
      }
    } else if (character === '}' || character === ']') names.pop()
    else if (character === '"') {
      const end = endOfString(text, i)
      if (isName(text, end)) addName(names.at(-1), text.slice(i, end), file)
      i = end - 1
    }
    if (commas > MAX_COMMAS) {
      throw invalidSafetensors(file, 'has too much in its header', `at most ${MAX_COMMAS} commas`, 'more')
    }
  }
}

function addName(names: Set<string> | undefined, raw: string, file: string): void {
  if (names === undefined) return
  const name = raw.includes('\\') ? JSON.stringify(unescaped(raw)) : raw
  if (names.has(name)) throw invalidSafetensors(file, 'has a name twice in its header', 'each once', name)
  names.add(name)
  if (names.size > MAX_NAMES) {
    throw invalidSafetensors(file, 'has too many names in its header', `at most ${MAX_NAMES}`, 'more')
  }
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

/** A bad escape is left for JSON.parse to refuse. */
function unescaped(raw: string): unknown {
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}

function isName(text: string, end: number): boolean {
  let i = end
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\r' || text[i] === '\t') i++
  return text[i] === ':'
}
