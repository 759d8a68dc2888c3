import type { CodePoints } from './pattern-classes.ts'
import type { PatternNode } from './pattern-syntax.ts'

/**
 * Glushkov's automaton of a pattern: one state for each character of it, with as many steps from one state to another
 * as there are ways through the pattern's own structure.
 */
export interface Automaton {
  /** What each state reads. */
  members: CodePoints[]
  /** Next states, with the number of ways to each. */
  next: Map<number, number>[]
  first: Set<number>
  /** States after which the pattern has matched, whatever follows. */
  accepting: Set<number>
  matchesNothing: boolean
  /** The insides of look-arounds, which are matched on their own. */
  insides: PatternNode[]
}

/** What a part of a pattern contributes. */
interface Part {
  first: Set<number>
  /** States that can end the part; false: an assertion after it may still fail. */
  last: Map<number, boolean>
  /** Whether it can match nothing, and then whether without an assertion that may fail. */
  empty: 'never' | 'checked' | 'free'
}

/** `\s{512}` of a tokenizer in use, and its halves, have some 1,000 states. */
const MAX_STATES = 2_048
const MAX_STEPS = 100_000

/** Undefined for a pattern of more states than any tokenizer needs. */
export function buildAutomaton(pattern: PatternNode): Automaton | undefined {
  const builder = new Builder()
  const whole = builder.part(pattern)
  if (builder.isTooLarge) return undefined
  const accepting = new Set([...whole.last].filter(([, isFree]) => isFree).map(([state]) => state))
  const { members, next, insides } = builder
  return { members, next, insides, first: whole.first, accepting, matchesNothing: whole.empty !== 'never' }
}

class Builder {
  readonly members: CodePoints[] = []
  readonly next: Map<number, number>[] = []
  readonly insides: PatternNode[] = []
  isTooLarge = false
  #steps = 0

  part(node: PatternNode): Part {
    if (node.kind === 'character') return this.#state(node.members)
    if (node.kind === 'repeat') return this.#repeat(node)
    if (node.kind === 'assertion') {
      if (node.body !== undefined && this.insides.push(node.body) > MAX_STATES) this.isTooLarge = true
      return { first: new Set(), last: new Map(), empty: 'checked' }
    }
    const parts = node.parts.map((inner) => this.part(inner))
    if (node.kind === 'sequence') return parts.reduce((before, after) => this.#follow(before, after), nothing())
    return parts.reduce(either, { first: new Set(), last: new Map(), empty: 'never' })
  }

  #state(members: CodePoints): Part {
    const state = this.members.push(members) - 1
    this.next.push(new Map())
    if (state >= MAX_STATES) this.isTooLarge = true
    return { first: new Set([state]), last: new Map([[state, true]]), empty: 'never' }
  }

  /** As many copies as the bounds say; the last one loops where there is no upper bound. */
  #repeat({ body, least, most }: PatternNode & { kind: 'repeat' }): Part {
    const isEndless = most === Number.POSITIVE_INFINITY
    const copies = isEndless ? Math.max(least, 1) : most
    if (copies > MAX_STATES) this.isTooLarge = true
    let whole = nothing()
    for (let i = 0; i < copies && !this.isTooLarge; i++) {
      const copy = this.part(body)
      if (isEndless && i === copies - 1) this.#connect(copy.last.keys(), copy.first)
      whole = this.#follow(whole, i < least ? copy : either(copy, nothing()))
    }
    return whole
  }

  #follow(before: Part, after: Part): Part {
    this.#connect(before.last.keys(), after.first)
    const last = new Map(after.last)
    if (after.empty !== 'never') {
      for (const [state, isFree] of before.last) last.set(state, isFree && after.empty === 'free')
    }
    const isNever = before.empty === 'never' || after.empty === 'never'
    const isFree = before.empty === 'free' && after.empty === 'free'
    return {
      first: before.empty === 'never' ? before.first : new Set([...before.first, ...after.first]),
      last,
      empty: isNever ? 'never' : isFree ? 'free' : 'checked',
    }
  }

  #connect(from: Iterable<number>, to: ReadonlySet<number>): void {
    for (const state of from) {
      this.#steps += to.size
      if (this.#steps > MAX_STEPS) this.isTooLarge = true
      if (this.isTooLarge) return
      const steps = this.next[state]
      for (const target of to) steps?.set(target, (steps.get(target) ?? 0) + 1)
    }
  }
}

function nothing(): Part {
  return { first: new Set(), last: new Map(), empty: 'free' }
}

function either(one: Part, other: Part): Part {
  const last = new Map(one.last)
  for (const [state, isFree] of other.last) last.set(state, isFree || last.get(state) === true)
  const kinds = [one.empty, other.empty]
  return {
    first: new Set([...one.first, ...other.first]),
    last,
    empty: kinds.includes('free') ? 'free' : kinds.includes('checked') ? 'checked' : 'never',
  }
}
