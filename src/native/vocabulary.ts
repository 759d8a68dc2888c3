import { TandemError } from '../errors.ts'
import type { NativeVocabulary, VocabularyDescription } from './addon.ts'
import { asTandemError, loadNative, translate } from './library.ts'
import type { ModelFile } from './model-file.ts'
import { variantFor } from './variants.ts'
import { checkVocabulary } from './vocabulary-limits.ts'

/** Longest text, in UTF-16 units: each may take a kilobyte of stack, so the largest thread reserves a gigabyte. */
const MAX_TEXT_LENGTH = 1_048_576

/**
 * Pre-tokenizers whose regular expression looks from every character of such a run to its end and finds nothing: 20 s for
 * 16384 spaces before a digit (`\s+$` of deepseek-llm).
 */
const SLOW_RUNS: Readonly<Record<string, { name: string; pattern: RegExp }>> = {
  'deepseek-llm': { name: 'spaces', pattern: /\s+/g },
  'jais-2': { name: 'spaces', pattern: /\s+/g },
  superbpe: { name: 'digits', pattern: /\p{N}+/gu },
}

/** Sum of the squares of all runs; so many comparisons take 3 s. A megabyte of deeply indented code has half of it. */
const MAX_SLOW_COMPARISONS = 2 ** 26

/** The tokenizer of a GGUF file through libllama, without the weights. Calls may overlap. */
export class Vocabulary {
  readonly description: VocabularyDescription
  readonly #native: NativeVocabulary
  readonly #slowRuns: { name: string; pattern: RegExp } | undefined

  constructor(native: NativeVocabulary, preTokenizer: unknown) {
    this.#native = native
    this.description = native.description
    this.#slowRuns = SLOW_RUNS[String(preTokenizer)]
  }

  /**
   * Ids of a text without `description.prefixIds` and `suffixIds`. Those of `specialIds` that the text spells become ids
   * if `parseSpecial`, and are text otherwise.
   *
   * @throws TandemError `invalid-argument` (too long, or would take too long), `invalid-file` (the vocabulary cannot
   * spell it), `out-of-memory`, `disposed`
   */
  async tokenize(text: string, parseSpecial: boolean): Promise<Int32Array> {
    this.#requireTractable(text)
    try {
      return await this.#native.tokenize(text, parseSpecial)
    } catch (error) {
      const translated = asTandemError(error)
      if (!(translated instanceof TandemError && translated.code === 'compute-failed')) throw translated
      throw new TandemError('invalid-file', 'The tokenizer cannot encode this text', {
        received: translated.message,
        cause: translated,
      })
    }
  }

  /** UTF-8 of ids that are all below `description.vocabularySize`. Throws `disposed`. */
  detokenize(ids: readonly number[]): Uint8Array {
    return translate(() => this.#native.detokenize(Int32Array.from(ids)))
  }

  /** Idempotent; texts that are being tokenized reject with `disposed`. */
  dispose(): Promise<void> {
    return this.#native.dispose()
  }

  #requireTractable(text: string): void {
    if (text.length > MAX_TEXT_LENGTH) {
      throw new TandemError('invalid-argument', 'The text is too long to be encoded', {
        expected: `at most ${MAX_TEXT_LENGTH} characters`,
        received: String(text.length),
      })
    }
    if (this.#slowRuns === undefined) return
    const { name, pattern } = this.#slowRuns
    let comparisons = 0
    for (const [run] of text.matchAll(pattern)) comparisons += run.length ** 2
    if (comparisons <= MAX_SLOW_COMPARISONS) return
    throw new TandemError('invalid-argument', `The text has so many ${name} in a row that its tokenizer would hang`, {
      expected: `at most ${Math.sqrt(MAX_SLOW_COMPARISONS)} in one run`,
    })
  }
}

/**
 * Loads the tokenizer of a GGUF file. `device` chooses the variant of llama.cpp, as for an engine that follows.
 *
 * @throws TandemError `invalid-file`, `unsupported-model` with llama.cpp's reason, `library-*`
 */
export async function openVocabulary(file: ModelFile, path: string, device = 'auto'): Promise<Vocabulary> {
  checkVocabulary(file)
  const native = loadNative({ variant: variantFor(device) })
  const opening = translate(() => native.openVocabulary(path))
  const vocabulary = await opening.catch((error: unknown) => Promise.reject(asTandemError(error)))
  return new Vocabulary(vocabulary, file.metadata.get('tokenizer.ggml.pre')?.value)
}
