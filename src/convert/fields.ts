import { TandemError } from '../errors.ts'

export type JsonObject = Readonly<Partial<Record<string, unknown>>>

/** ggml counts in 32-bit integers in many places; no dimension of a real model comes near. */
const MAX_COUNT = 2 ** 31 - 1

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Typed access to a JSON object that someone else wrote; every refusal names the file and the field. */
export class Fields {
  readonly file: string
  private readonly object: JsonObject

  constructor(file: string, object: JsonObject) {
    this.file = file
    this.object = object
  }

  /** The raw value; null counts as absent, as it does in transformers. */
  get(name: string): unknown {
    return (Object.hasOwn(this.object, name) ? this.object[name] : undefined) ?? undefined
  }

  /** A count: 1 to `most`. */
  count(name: string, { fallback, most = MAX_COUNT }: { fallback?: number; most?: number } = {}): number {
    const value = this.get(name) ?? fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most) return value
    throw this.invalid(name, `a whole number from 1 to ${most}`)
  }

  /** A token id or an index: 0 to 2^31 - 1. */
  index(name: string): number | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT) return value
    throw this.invalid(name, `a whole number from 0 to ${MAX_COUNT}`)
  }

  /** A positive finite number. */
  positive(name: string, fallback?: number): number {
    const value = this.get(name) ?? fallback
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    throw this.invalid(name, 'a positive number')
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.get(name) ?? fallback
    if (typeof value === 'boolean') return value
    throw this.invalid(name, 'true or false')
  }

  oneOf<T extends string>(name: string, values: readonly T[], fallback?: T): T {
    const given = this.get(name) ?? fallback
    const value = values.find((candidate) => candidate === given)
    if (value === undefined) throw this.unsupported(name, values.join(' or '))
    return value
  }

  section(name: string): Fields | undefined {
    const value = this.get(name)
    if (value === undefined) return undefined
    if (!isJsonObject(value)) throw this.invalid(name, 'an object')
    return new Fields(`${name} of ${this.file}`, value)
  }

  invalid(name: string, expected: string): TandemError {
    return new TandemError('invalid-file', `${name} of ${this.file} is wrong`, { expected, received: this.shown(name) })
  }

  unsupported(name: string, expected: string): TandemError {
    return new TandemError('unsupported-model', `${name} of ${this.file} is not supported`, {
      expected,
      received: this.shown(name),
    })
  }

  private shown(name: string): string {
    const text = JSON.stringify(this.get(name)) ?? 'nothing'
    return text.length > 100 ? `${text.slice(0, 100)}…` : text
  }
}
