/** The ids that every contender is given; `servers/protocol.py` has the same function. */
export function sourceOf(length: number, vocabularySize: number): number[] {
  return Array.from({ length }, (_, i) => 7 + ((i * 7919) % (vocabularySize - 7)))
}
