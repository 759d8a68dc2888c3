import { TandemError } from '../errors.ts'
import { numberOf, textOf } from '../formats/gguf/metadata.ts'
import type { GgufFile } from '../formats/gguf/read.ts'
import { openVocabulary, type Vocabulary } from '../native/vocabulary.ts'
import type { SpecialTokenName } from '../tokenizer/config.ts'
import { LlamaTokenizer, type LlamaTokenizerOptions } from '../tokenizer/llama-tokenizer.ts'
import type { ByteSpelling } from '../tokenizer/stop-strings.ts'

/** A tokenizer through llama.cpp, and the ids at which llama.cpp ends a text. */
export interface ForeignTokenizer {
  tokenizer: LlamaTokenizer
  endOfGenerationIds: number[]
}

/** How bytes are spelled by the tokenizers of decoder-only models, by `tokenizer.ggml.model` (`llama_vocab::impl::load`). */
const BYTE_SPELLINGS: ReadonlyMap<string, ByteSpelling> = new Map([
  ['llama', 'byte-fallback'],
  ['gpt2', 'byte-level'],
  ['gemma4', 'byte-fallback'],
  ['hybriddna', 'byte-level'],
  ['plamo2', 'byte-fallback'],
  ['rwkv', undefined],
])

/** Pre-tokenizers of the model `gpt2` that leave bytes as they are. */
const RAW_BYTES: readonly string[] = ['gemma4', 'granite-embed-multi-311m', 'sarvam-moe']

/** The names of GGUF for the special tokens, by those of Hugging Face. */
const TOKEN_KEYS: Readonly<Record<SpecialTokenName, string>> = {
  bos: 'bos',
  eos: 'eos',
  unk: 'unknown',
  sep: 'seperator',
  pad: 'padding',
  cls: 'cls',
  mask: 'mask',
}

/**
 * Loads the tokenizer of a GGUF file that another converter made.
 *
 * @param device chooses the variant of llama.cpp, as for an engine that follows
 * @throws TandemError `invalid-file`, `unsupported-model`, `library-*`
 */
export async function openForeignTokenizer(gguf: GgufFile, path: string, device?: string): Promise<ForeignTokenizer> {
  const byteSpelling = requireByteSpelling(gguf, path)
  const vocabulary = await openVocabulary(gguf, path, device)
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens')?.value as LlamaTokenizerOptions['tokens']
  return {
    tokenizer: new LlamaTokenizer(vocabulary, {
      byteSpelling,
      tokens,
      specialTokenIds: specialTokenIds(gguf, vocabulary),
    }),
    endOfGenerationIds: endOfGenerationIds(gguf, vocabulary),
  }
}

function requireByteSpelling(gguf: GgufFile, path: string): ByteSpelling {
  const model = textOf(gguf, 'tokenizer.ggml.model')
  if (model === undefined || model === 'none' || model === 'no_vocab' || !gguf.metadata.has('tokenizer.ggml.tokens')) {
    throw new TandemError('invalid-file', `${path} holds no tokenizer`, {
      remedy: 'Convert the model together with its tokenizer',
    })
  }
  if (!BYTE_SPELLINGS.has(model)) {
    throw new TandemError('unsupported-model', `The tokenizer of ${path} is not one of a decoder-only model`, {
      expected: [...BYTE_SPELLINGS.keys()].join(', '),
      received: model,
    })
  }
  const leavesBytes = model === 'gpt2' && RAW_BYTES.includes(textOf(gguf, 'tokenizer.ggml.pre') ?? '')
  return leavesBytes ? 'byte-fallback' : BYTE_SPELLINGS.get(model)
}

/** Those that the file names; and where it names none, the tokens that llama.cpp puts around every text all the same. */
function specialTokenIds(gguf: GgufFile, { description }: Vocabulary): Partial<Record<SpecialTokenName, number>> {
  const {
    bos = description.prefixIds[0],
    eos = description.suffixIds[0],
    ...named
  } = Object.fromEntries(
    Object.entries(TOKEN_KEYS)
      .map(([name, key]) => [name, numberOf(gguf, `tokenizer.ggml.${key}_token_id`)])
      .filter(([, id]) => id !== undefined),
  ) as Partial<Record<SpecialTokenName, number>>
  return { ...named, ...(bos === undefined ? {} : { bos }), ...(eos === undefined ? {} : { eos }) }
}

/**
 * All that llama.cpp takes for ends of a text: the ids that the file names, and tokens it knows by their spelling. What it
 * guesses where the file names no eos token, id 2 or 11, counts only if it is Llama's own end.
 */
function endOfGenerationIds(gguf: GgufFile, { description }: Vocabulary): number[] {
  const { eosId, endOfGenerationIds } = description
  const tokens = gguf.metadata.get('tokenizer.ggml.tokens')?.value as LlamaTokenizerOptions['tokens']
  const isGuess = numberOf(gguf, 'tokenizer.ggml.eos_token_id') === undefined && tokens[eosId] !== '</s>'
  return [...endOfGenerationIds].filter((id) => !(isGuess && id === eosId))
}
