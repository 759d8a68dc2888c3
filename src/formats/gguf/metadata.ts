import type { GgufFile, GgufValue } from './types.ts'

/** A string of the file's metadata; undefined where there is none, or bytes that are no text. */
export function textOf({ metadata }: GgufFile, key: string): string | undefined {
  const entry = metadata.get(key)
  return entry?.type === 'string' && typeof entry.value === 'string' ? entry.value : undefined
}

/** A number of the file's metadata; undefined where there is none. */
export function numberOf({ metadata }: GgufFile, key: string): number | undefined {
  const value: GgufValue['value'] | undefined = metadata.get(key)?.value
  return typeof value === 'number' ? value : undefined
}
