import { TandemError } from '../errors.ts'
import { numberOf, textOf } from '../formats/gguf/metadata.ts'
import type { GgufFile } from '../formats/gguf/read.ts'
import { TENSOR_TYPES } from '../formats/gguf/types.ts'
import type { ConvertedModel } from './converted-model.ts'
import { openForeignTokenizer } from './foreign-tokenizer.ts'

const ENCODER = 'an encoder'
const DIFFUSION_MODEL = 'a diffusion model'
const DRAFT_HEAD = 'a draft head of another model'

/** Architectures of llama.cpp v0.5.0 that do not continue a text token by token (`create_memory`, `has_encoder`). */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  t5: 'an encoder-decoder',
  t5encoder: ENCODER,
  bert: ENCODER,
  'modern-bert': ENCODER,
  'nomic-bert': ENCODER,
  'nomic-bert-moe': ENCODER,
  'neo-bert': ENCODER,
  'jina-bert-v2': ENCODER,
  'jina-bert-v3': ENCODER,
  eurobert: ENCODER,
  'gemma-embedding': ENCODER,
  'wavtokenizer-dec': ENCODER,
  dream: DIFFUSION_MODEL,
  llada: DIFFUSION_MODEL,
  'llada-moe': DIFFUSION_MODEL,
  rnd1: DIFFUSION_MODEL,
  eagle3: DRAFT_HEAD,
  dflash: DRAFT_HEAD,
  clip: 'a multimodal projector (mmproj)',
}

/** What else a GGUF file may be, by `general.type`. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  mmproj: 'a multimodal projector (mmproj)',
  adapter: 'an adapter (LoRA)',
  imatrix: 'an importance matrix',
}

/**
 * What a GGUF file that another converter made knows beside its weights. Its tokenizer is llama.cpp's, and what it does
 * not say about generation has the defaults of transformers.
 *
 * @param device chooses the variant of llama.cpp, as for the engine that follows
 * @throws TandemError `invalid-file`, `unsupported-model`, `library-*`
 */
export async function readForeignModel(gguf: GgufFile, path: string, device?: string): Promise<ConvertedModel> {
  const architecture = textOf(gguf, 'general.architecture') ?? ''
  requireDecoderOnly(gguf, architecture, path)
  const { tokenizer, endOfGenerationIds } = await openForeignTokenizer(gguf, path, device)
  const contextLength = numberOf(gguf, `${architecture}.context_length`)
  return {
    path,
    gguf,
    architecture,
    tokenizer,
    config: contextLength === undefined ? {} : { max_position_embeddings: contextLength },
    generationConfig: generationConfig(gguf, endOfGenerationIds),
    chatTemplate: textOf(gguf, 'tokenizer.chat_template'),
    quantization: mostlyType(gguf),
  }
}

function requireDecoderOnly(gguf: GgufFile, architecture: string, path: string): void {
  const type = textOf(gguf, 'general.type') ?? 'model'
  const isCausal = gguf.metadata.get(`${architecture}.attention.causal`)?.value !== false
  const other =
    (Object.hasOwn(OTHER_TYPES, type) ? OTHER_TYPES[type] : undefined) ??
    (Object.hasOwn(OTHER_KINDS, architecture) ? OTHER_KINDS[architecture] : undefined) ??
    (isCausal ? undefined : ENCODER)
  if (other === undefined) return
  throw new TandemError('unsupported-model', `${path} holds ${other}`, {
    expected: 'a decoder-only language model, or a file that tandem convert wrote',
    received: `${architecture || 'no architecture'}${type === 'model' ? '' : `, type ${type}`}`,
    ...(architecture === 't5' ? { remedy: 'Convert its Hugging Face folder with tandem convert' } : {}),
  })
}

/** The keys of a `generation_config.json` that a GGUF file has the values of. */
function generationConfig(gguf: GgufFile, endOfGenerationIds: number[]): Record<string, unknown> {
  const id = (name: string) => numberOf(gguf, `tokenizer.ggml.${name}_token_id`)
  const suppressed = gguf.metadata.get('tokenizer.ggml.suppress_tokens')?.value
  const entries: [string, unknown][] = [
    ['bos_token_id', id('bos')],
    ['eos_token_id', endOfGenerationIds.length === 0 ? undefined : endOfGenerationIds],
    ['pad_token_id', id('padding')],
    ['suppress_tokens', suppressed instanceof Int32Array && suppressed.length > 0 ? [...suppressed] : undefined],
  ]
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** The type that takes most of the bytes. */
function mostlyType({ tensors }: GgufFile): string | undefined {
  const bytes = new Map<number, number>()
  for (const { type, size } of tensors) bytes.set(type, (bytes.get(type) ?? 0) + size)
  const [most] = [...bytes].sort(([, a], [, b]) => b - a)
  return most === undefined ? undefined : TENSOR_TYPES.get(most[0])?.name
}
