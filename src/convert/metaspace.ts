import type { GgufValue } from '../formats/gguf/types.ts'
import type { Fields } from './fields.ts'
import { steps } from './pre-tokenizer.ts'

export function hasByteLevel(preTokenizer: unknown): boolean {
  return steps(preTokenizer).some((step) => step['type'] === 'ByteLevel')
}

/** How a tokenizer with `▁` for spaces treats them. */
export function spaceFlags(tokenizer: Fields): Record<string, GgufValue> {
  const metaspace = steps(tokenizer.get('pre_tokenizer')).find((step) => step['type'] === 'Metaspace')
  const prefix = metaspace?.['prepend_scheme'] ?? (metaspace?.['add_prefix_space'] === false ? 'never' : 'always')
  const collapses = steps(tokenizer.get('normalizer')).some(
    (step) => step['type'] === 'Replace' && JSON.stringify(step['pattern']) === '{"Regex":" {2,}"}',
  )
  return {
    'tokenizer.ggml.add_space_prefix': { type: 'bool', value: metaspace !== undefined && prefix !== 'never' },
    'tokenizer.ggml.remove_extra_whitespaces': { type: 'bool', value: collapses },
  }
}

/** SentencePiece's normalisation table, which tokenizer.json holds in base64. */
export function precompiledCharsmap(normalizer: unknown): Uint8Array | undefined {
  const charsmap = steps(normalizer).find((step) => step['type'] === 'Precompiled')?.['precompiled_charsmap']
  return typeof charsmap === 'string' && charsmap !== '' ? Uint8Array.from(Buffer.from(charsmap, 'base64')) : undefined
}
