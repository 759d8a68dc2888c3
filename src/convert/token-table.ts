import { TandemError } from '../errors.ts'
import type { GgufValue } from '../formats/gguf/types.ts'

/** llama.cpp's token types. */
export const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const

/**
 * One token for each row of the embedding. Two columns rather than a list of objects, which would take much of a
 * conversion's memory for a vocabulary of 256,000.
 */
export class TokenTable {
  readonly types: Int32Array
  private readonly texts: (string | undefined)[]
  private readonly file: string

  constructor(file: string, size: number) {
    this.file = file
    this.types = new Int32Array(size).fill(TokenType.unused)
    this.texts = Array.from({ length: size })
  }

  /** A token of the tokenizer's model; it must be the only one with its id. */
  add(text: string, id: number): void {
    const other = this.texts[this.checked(text, id)]
    if (other !== undefined) throw this.twice(`id ${id}`, `${JSON.stringify(other)} and ${JSON.stringify(text)}`)
    this.set(text, id, TokenType.normal)
  }

  /** An added token, which takes the place of a token of the model. */
  set(text: string, id: number, type: number): void {
    this.texts[this.checked(text, id)] = text
    this.types[id] = type
  }

  /** The keys of the table; rows without a token read `[PAD…]`, as in the reference converter. */
  keys(): Record<string, GgufValue> {
    const tokens = Array.from(this.texts, (text, id) => text ?? `[PAD${id}]`)
    // llama.cpp aborts the process when two tokens read the same.
    const seen = new Set<string>()
    for (const text of tokens) {
      if (seen.size === seen.add(text).size) throw this.twice(`the token ${JSON.stringify(text)}`, 'two ids')
    }
    return {
      'tokenizer.ggml.tokens': { type: 'array', items: 'string', value: tokens },
      'tokenizer.ggml.token_type': { type: 'array', items: 'int32', value: this.types },
    }
  }

  private checked(text: string, id: number): number {
    if (Number.isInteger(id) && id >= 0 && id < this.types.length) return id
    throw new TandemError(
      'invalid-file',
      `${this.file} has a token that the model does not have: ${JSON.stringify(text)}`,
      {
        expected: `an id below vocab_size of config.json, ${this.types.length}`,
        received: `${id}`,
        remedy: 'Check that tokenizer.json and config.json belong to the same model',
      },
    )
  }

  private twice(what: string, received: string): TandemError {
    return new TandemError('invalid-file', `${this.file} gives ${what} twice`, {
      expected: 'each token one id of its own',
      received,
    })
  }
}
