import type { Random } from './random.ts'

/** Values that readers stumble over. */
const SCALARS = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  0.5,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 63),
  1e308,
] as const
const TEXTS = [
  '',
  ' ',
  'a',
  'A',
  '中',
  '👍🏽',
  '\0',
  '\uFEFF',
  '\uD800',
  'a\u0301',
  'ﷺ',
  '__proto__',
  'constructor',
  '<0x-1>',
] as const
const TEXT_BOMBS = ['x'.repeat(70_000), '('.repeat(500), '\\'.repeat(33)] as const

/** A place inside a document: the object or list that holds a value, and where in it. */
type Place = { holder: unknown[]; key: number } | { holder: Record<string, unknown>; key: string }

/** A copy of `document` in which one to three places hold something else. */
export function mutateJson(document: unknown, random: Random): unknown {
  const root: unknown[] = [structuredClone(document)]
  const changes = 1 + random.below(3)
  for (let i = 0; i < changes; i++) {
    const all = places(root)
    const place = all[random.below(all.length)]
    if (place !== undefined) change(place, all, random)
  }
  return root[0]
}

/** The text of a document, sometimes damaged in ways that no serialiser writes. */
export function damagedText(document: unknown, random: Random): string {
  const text = JSON.stringify(document) ?? ''
  if (random.chance(0.9)) return text
  const at = random.below(text.length + 1)
  const damage = random.below(5)
  if (damage === 0) return text.slice(0, at)
  if (damage === 1) return `${text.slice(0, at)}${text.slice(at + 1)}`
  if (damage === 2)
    return `${text.slice(0, at)}${random.pick(['"', '{', '[', ',', ':', '\\', '\uFFFD', '0'])}${text.slice(at)}`
  if (damage === 3) return text.replace(/\d+/, random.pick(['1e999', '1e-999', '-', '00', '18446744073709551616']))
  // The same object twice in one: readers differ in which of two equal names counts.
  return text.replace(/\{/, `{${text.slice(1, -1)},`)
}

function places(root: unknown[]): Place[] {
  const found: Place[] = []
  const visit = (holder: unknown): void => {
    if (Array.isArray(holder)) {
      for (const [key, value] of holder.entries()) {
        found.push({ holder, key })
        visit(value)
      }
    } else if (isObject(holder)) {
      for (const [key, value] of Object.entries(holder)) {
        found.push({ holder, key })
        visit(value)
      }
    }
  }
  visit(root)
  return found
}

function change(place: Place, all: readonly Place[], random: Random): void {
  const value = read(place)
  const way = random.below(10)
  if (way === 0) remove(place)
  else if (way === 1) write(place, read(all[random.below(all.length)] ?? place))
  else if (way === 2) write(place, nested(value, random))
  else if (way === 3) write(place, random.pick(SCALARS))
  else if (way === 4) write(place, random.pick(random.chance(0.02) ? TEXT_BOMBS : TEXTS))
  else if (way === 5) write(place, random.pick([[], {}, [[]], { type: 'Sequence' }]))
  else write(place, nearby(value, random))
}

/** A value of the same kind, a little different. */
function nearby(value: unknown, random: Random): unknown {
  if (typeof value === 'number') return random.pick([value + 1, value - 1, -value, value * 2, value / 2, value * 1e9])
  if (typeof value === 'boolean') return !value
  if (typeof value === 'string') {
    const at = random.below(value.length + 1)
    return `${value.slice(0, at)}${random.pick(TEXTS)}${value.slice(at + random.below(2))}`
  }
  if (Array.isArray(value)) {
    const at = random.below(value.length + 1)
    return random.pick([value.toSpliced(at, 1), value.toSpliced(at, 0, ...value), value.toReversed()])
  }
  if (!isObject(value)) return random.pick(SCALARS)
  const entries = Object.entries(value)
  const at = random.below(entries.length)
  const [name = '', inner] = entries[at] ?? []
  return Object.fromEntries([...entries.toSpliced(at, 1), [random.pick(TEXTS) + name, inner]])
}

function nested(value: unknown, random: Random): unknown {
  const depth = random.pick([1, 2, 150])
  let inner = value
  for (let i = 0; i < depth; i++) inner = random.chance(0.5) ? [inner] : { type: 'Sequence', x: inner }
  return inner
}

function read({ holder, key }: Place): unknown {
  return Array.isArray(holder) ? holder[Number(key)] : holder[key]
}

function write({ holder, key }: Place, value: unknown): void {
  // A copy, so that a document never holds itself.
  const copy = structuredClone(value)
  if (Array.isArray(holder)) holder[Number(key)] = copy
  else Object.defineProperty(holder, key, { value: copy, enumerable: true, configurable: true, writable: true })
}

function remove({ holder, key }: Place): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1)
  else delete holder[key]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
