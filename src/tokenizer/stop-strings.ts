/** How a vocabulary spells bytes: GPT-2's letters, `<0xE4>`, or not at all. */
export type ByteSpelling = 'byte-level' | 'byte-fallback' | undefined

/** What stop strings need of a tokenizer. */
export interface StopStringVocabulary {
  readonly byteSpelling: ByteSpelling
  encode(text: string, options: { addSpecialTokens: boolean }): Promise<{ inputIds: readonly number[] }>
  decode(ids: readonly number[]): string
  /** The vocabulary's own spelling of each id, `undefined` beyond the vocabulary. */
  tokens(ids: readonly number[]): (string | undefined)[]
}

/** A decoder may treat the first token of a text in its own way, so a token is read behind this one. */
const PREFIX = 'abcdef'
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/

/**
 * Tells whether the newest of some ids completes a stop string, as transformers 5.23 does: the string occurs in the texts
 * of the tokens, special tokens by their own names, and overlaps the newest one; more text on either side does not
 * matter. Vocabularies that spell bytes are compared byte by byte.
 */
export async function stopStringMatcher(
  vocabulary: StopStringVocabulary,
  stopStrings: readonly string[],
): Promise<(ids: readonly number[]) => boolean> {
  const prefixIds = (await vocabulary.encode(PREFIX, { addSpecialTokens: false })).inputIds
  const texts = new Map<number, string | undefined>()
  const textOf = (id: number): string | undefined => {
    if (!texts.has(id)) texts.set(id, tokenText(vocabulary, prefixIds, id))
    return texts.get(id)
  }
  const spelled = vocabulary.byteSpelling === undefined ? stopStrings : stopStrings.map(byteText)
  const longest = Math.max(...spelled.map(({ length }) => length))
  return (ids) => {
    const newest = textOf(ids.at(-1) ?? -1)
    if (newest === undefined || newest === '') return false
    let text = newest
    for (let i = ids.length - 2; i >= 0 && text.length < longest - 1 + newest.length; i--) {
      const before = textOf(ids[i] ?? -1)
      // An id beyond the vocabulary has no text, and nothing runs across it.
      if (before === undefined) break
      text = before + text
    }
    return spelled.some((stop) => text.includes(stop, Math.max(0, text.length - newest.length - stop.length + 1)))
  }
}

/** Text of one token inside a text; where bytes count, one character for each byte. */
function tokenText(vocabulary: StopStringVocabulary, prefixIds: readonly number[], id: number): string | undefined {
  const [token] = id < 0 ? [undefined] : vocabulary.tokens([id])
  if (token === undefined) return undefined
  const bytes = spelledBytes(token, vocabulary.byteSpelling)
  if (bytes !== undefined) return bytes
  const text = vocabulary.decode([...prefixIds, id])
  const own = text.slice(Math.max(0, text.indexOf(PREFIX) + PREFIX.length))
  return vocabulary.byteSpelling === undefined ? own : byteText(own)
}

function spelledBytes(token: string, spelling: ByteSpelling): string | undefined {
  if (spelling === 'byte-fallback') {
    const byte = BYTE_TOKEN.exec(token)?.[1]
    return byte === undefined ? undefined : String.fromCharCode(Number.parseInt(byte, 16))
  }
  if (spelling !== 'byte-level') return undefined
  const bytes = Array.from(token, (letter) => BYTE_OF_LETTER.get(letter))
  return bytes.includes(undefined) ? undefined : String.fromCharCode(...(bytes as number[]))
}

function byteText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** GPT-2's letters for bytes: the printable ones stand for themselves, the others for the letters from U+0100 on. */
const BYTE_OF_LETTER: ReadonlyMap<string, number> = new Map(
  (() => {
    let next = 0x100
    return Array.from({ length: 256 }, (_, byte): [string, number] => {
      const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
      return [String.fromCodePoint(isPrintable ? byte : next++), byte]
    })
  })(),
)
