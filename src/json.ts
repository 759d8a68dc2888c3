/** As deep as the reader of tokenizers (serde_json) goes; Hugging Face's files have some ten levels. */
const MAX_DEPTH = 128

/** Names and values together. The largest tokenizer.json in use has two million of them. */
const MAX_VALUES = 8_388_608

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/**
 * JSON.parse for a text that somebody else wrote: nesting and the number of values are bounded before anything is made,
 * because 200 MB of `{},` would take all memory and end the process, and a deep value overflows whoever walks it.
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  let depth = 0
  let values = 1
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i)
    if (character === QUOTE) i = endOfString(text, i)
    else if (character === COMMA || character === COLON) values++
    else if (character === OPENING_BRACKET || character === OPENING_BRACE) {
      values++
      if (++depth > MAX_DEPTH) throw new SyntaxError(`nested deeper than ${MAX_DEPTH} levels`)
    } else if (character === CLOSING_BRACKET || character === CLOSING_BRACE) depth--
    if (values > MAX_VALUES) throw new SyntaxError(`more than ${MAX_VALUES} values`)
  }
  return JSON.parse(text)
}

/** Index of the quote that closes the string which opens at `start`, or the text's end. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const character = text.charCodeAt(i)
    if (character === QUOTE) return i
    if (character === BACKSLASH) i++
  }
  return text.length
}
