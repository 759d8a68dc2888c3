import { type Automaton, buildAutomaton } from './pattern-automaton.ts'
import { parsePattern } from './pattern-syntax.ts'

/*
 * A matcher that goes back tries every way to match that a text offers until one succeeds. Oniguruma ends the process
 * after 10 million tries at one place of the text. How many ways there are is a question about the pattern alone: those
 * count that lead through states from which the pattern can still fail. See Weber and Seidl, "On the degree of ambiguity
 * of finite automata", 1991.
 */

/** What a pattern can cost. */
export type PatternCost =
  /** The tries at one place grow exponentially or with a power of the text, or cannot be foreseen. */
  | 'unbounded'
  /** A run of characters may be tried again at each of its places: the square of its length. */
  | 'square'
  | 'linear'

/**
 * Patterns in use (GPT-2, Llama 3, Qwen2, Qwen3.5, GPT-4o, DeepSeek 3) of which one alternative or another matches at
 * every place: no run is tried twice, although each alternative alone looks as if it could.
 */
const TILING_PATTERNS: ReadonlySet<string> = new Set([
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
])

/** Ways to match the same text at one place, apart from its length. Those in use have at most a dozen. */
const MAX_WAYS = 64

/** The cost of searching a text for a pattern; errs on the side of more. */
export function patternCost(pattern: string): PatternCost {
  if (TILING_PATTERNS.has(pattern)) return 'linear'
  const parsed = parsePattern(pattern)
  const pending = [parsed]
  const costs: PatternCost[] = []
  while (pending.length > 0 && !costs.includes('unbounded')) {
    const node = pending.pop()
    const automaton = node === undefined ? undefined : buildAutomaton(node)
    costs.push(automaton === undefined ? 'unbounded' : automatonCost(automaton, pattern))
    pending.push(...(automaton?.insides ?? []))
  }
  const squares = costs.filter((cost) => cost === 'square').length
  // A look-around is matched anew at every place to which the pattern around it goes back.
  if (costs.includes('unbounded') || squares > 1) return 'unbounded'
  return squares === 1 ? 'square' : 'linear'
}

function automatonCost(automaton: Automaton, pattern: string): PatternCost {
  const risky = (state: number): boolean => !automaton.accepting.has(state)
  const steps = automaton.next.map((targets, state) =>
    risky(state) ? [...targets].filter(([target]) => risky(target)) : [],
  )
  const overlaps = overlapTest(automaton, pattern)
  const loops = loopsOf(steps.map((targets) => targets.map(([target]) => target)))
  const isLooping = loops.some((loop) => loop !== undefined)
  if (isLooping && (forksInLoop(steps, loops, overlaps) || reachesSecondLoop(steps, loops, overlaps)))
    return 'unbounded'
  const starts = [[...automaton.first].map((state): [number, number] => [state, 1])]
  for (const [state, targets] of automaton.next.entries()) if (!risky(state)) starts.push([...targets])
  const count = wayCounter(steps, loops, overlaps)
  if (starts.some((targets) => count(targets) > MAX_WAYS)) return 'unbounded'
  return isLooping ? 'square' : 'linear'
}

type Steps = readonly (readonly (readonly [target: number, ways: number])[])[]
type Loops = readonly (number | undefined)[]
type Overlaps = (one: number, other: number) => boolean

/** Two ways on within a loop, on the same character: the ways double with every round. */
function forksInLoop(steps: Steps, loops: Loops, overlaps: Overlaps): boolean {
  return steps.some((targets, state) => {
    const inside = loops[state] === undefined ? [] : targets.filter(([target]) => loops[target] === loops[state])
    return inside.some(
      ([target, ways], i) => ways > 1 || inside.slice(i + 1).some(([other]) => overlaps(target, other)),
    )
  })
}

/** A way from one loop into another on characters of the first: every place of a run can be the change. */
function reachesSecondLoop(steps: Steps, loops: Loops, overlaps: Overlaps): boolean {
  const members = new Map<number, number[]>()
  for (const [state, loop] of loops.entries()) {
    if (loop !== undefined) members.set(loop, [...(members.get(loop) ?? []), state])
  }
  return [...members].some(([loop, inside]) => {
    const seen = new Set(inside)
    const pending = [...inside]
    for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
      for (const [target] of steps[state] ?? []) {
        if (seen.has(target) || !inside.some((member) => overlaps(member, target))) continue
        if (loops[target] !== undefined && loops[target] !== loop) return true
        seen.add(target)
        pending.push(target)
      }
    }
    return false
  })
}

/** How many ways of going on a text could make the matcher try, at most. */
function wayCounter(steps: Steps, loops: Loops, overlaps: Overlaps): (targets: Steps[number]) => number {
  const known = new Map<number, number>()
  const from = (state: number): number => {
    const before = known.get(state)
    if (before !== undefined) return before
    // Steps within a loop make no new ways: forks there have been refused.
    known.set(state, 1)
    const onward = (steps[state] ?? []).filter(
      ([target]) => loops[target] === undefined || loops[target] !== loops[state],
    )
    const ways = count(onward)
    known.set(state, ways)
    return ways
  }
  const count = (targets: Steps[number]): number => {
    const groups = targets.map(([target]) =>
      targets.reduce((sum, [other, ways]) => sum + (overlaps(target, other) ? ways * from(other) : 0), 0),
    )
    return Math.max(1, ...groups)
  }
  return count
}

/** Whether two states can read the same character; compared on the characters of {@link sample}. */
function overlapTest({ members }: Automaton, pattern: string): Overlaps {
  let points: readonly number[] | undefined
  // Copies of a repeated part share their classes: few are different, however many states there are.
  const classes = [...new Set(members)]
  const numbers = new Map(classes.map((takes, number) => [takes, number]))
  const read = new Map<number, Uint8Array>()
  const readBy = (number: number): Uint8Array => {
    points ??= sample(pattern)
    const bits = read.get(number) ?? Uint8Array.from(points, (point) => Number(classes[number]?.(point)))
    read.set(number, bits)
    return bits
  }
  const known = new Map<number, boolean>()
  const share = (one: number, other: number): boolean => {
    const pair = Math.min(one, other) * classes.length + Math.max(one, other)
    const before = known.get(pair)
    if (before !== undefined) return before
    const right = readBy(other)
    const does = readBy(one).some((bit, i) => bit === 1 && right[i] === 1)
    known.set(pair, does)
    return does
  }
  const classOf = members.map((takes) => numbers.get(takes) ?? 0)
  return (one, other) => one === other || share(classOf[one] ?? 0, classOf[other] ?? 0)
}

/** Every character up to the symbols, and samples of the others. */
const SAMPLE: readonly number[] = [
  ...Array.from({ length: 0x3100 }, (_, i) => i),
  ...Array.from({ length: 0xcf0 }, (_, i) => 0x3100 + i * 16),
  ...Array.from({ length: 0x1000 }, (_, i) => 0x10000 + i * 256),
]

/** The sample, and the characters that the pattern itself names, with their neighbours. */
function sample(pattern: string): number[] {
  const named = [...pattern].map((character) => character.codePointAt(0) ?? 0)
  const numbers = [...pattern.matchAll(/\\[xu]\{?([0-9A-Fa-f]+)/g)].map(([, digits = '']) =>
    Number.parseInt(digits, 16),
  )
  const near = [...new Set([...named, ...numbers])].flatMap((point) => [point - 1, point, point + 1])
  return [...SAMPLE, ...near.filter((point) => point >= 0x3100 && point < 0x110000)]
}

/** For each state the number of the loop that it lies in, if it does: Tarjan's strongly connected components. */
function loopsOf(next: readonly (readonly number[])[]): Loops {
  const order = new Map<number, number>()
  const lowest: number[] = []
  const open: number[] = []
  const loops: (number | undefined)[] = next.map(() => undefined)
  const visit = (state: number): void => {
    order.set(state, order.size)
    lowest[state] = order.get(state) ?? 0
    open.push(state)
    for (const target of next[state] ?? []) {
      if (!order.has(target)) visit(target)
      if (open.includes(target)) lowest[state] = Math.min(lowest[state] ?? 0, lowest[target] ?? 0)
    }
    if (lowest[state] !== order.get(state)) return
    const component = open.splice(open.indexOf(state))
    const isLoop = component.length > 1 || next[state]?.includes(state) === true
    if (isLoop) for (const member of component) loops[member] = state
  }
  for (const state of next.keys()) if (!order.has(state)) visit(state)
  return loops
}

/** Whether a pattern finds a match in an empty text; yes where that cannot be told. */
export function matchesNothing(pattern: string): boolean {
  const parsed = parsePattern(pattern)
  return parsed === undefined || buildAutomaton(parsed)?.matchesNothing !== false
}
