import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convert, type Quantization } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { CausalDecoder } from '../../src/generation/causal.ts'
import type { EngineDecoder } from '../../src/generation/engine-decoder.ts'
import { Seq2SeqDecoder } from '../../src/generation/seq2seq.ts'
import { type Engine, openEngine } from '../../src/native/model.ts'
import type { OpenOptions } from '../../src/native/open-options.ts'
import { type FolderDescription, golden, makeFolder } from '../golden/convert-folder.ts'

/** Models of a few layers with random weights, one of each kind; their descriptions are those of the conversion tests. */
export const TINY_MODELS = [
  { kind: 'encoder-decoder', description: 't5-relu-tied-f32-odd-rows' },
  { kind: 'decoder-only', description: 'qwen2-tied-bf16-sharded' },
] as const
export type TinyModel = (typeof TINY_MODELS)[number]

export interface OpenedModel {
  engine: Engine
  decoder: EngineDecoder
  path: string
}

/** Makes and converts the model in a folder of its own; `close` disposes what was opened and removes the folder. */
export async function tinyModel({ kind, description }: TinyModel, quantization: Quantization = 'f32') {
  const directory = await mkdtemp(join(tmpdir(), 'tandem-tiny-'))
  const { folder } = JSON.parse(readFileSync(golden(`${description}.json`), 'utf8')) as { folder: FolderDescription }
  const path = join(directory, 'model.gguf')
  const generationConfig = JSON.stringify({ decoder_start_token_id: 0, eos_token_id: 1 })
  await makeFolder(join(directory, 'model'), {
    ...folder,
    files: { ...folder.files, 'generation_config.json': generationConfig },
  })
  await convert(join(directory, 'model'), { output: path, quantization })
  const file = await readGguf(path)
  const engines: Engine[] = []
  return {
    path,
    async open(options: OpenOptions = {}): Promise<OpenedModel> {
      const engine = await openEngine(file, path, { device: 'cpu', threads: 1, contextSize: 4096, ...options })
      engines.push(engine)
      const decoder = kind === 'encoder-decoder' ? new Seq2SeqDecoder(engine, 0) : new CausalDecoder(engine)
      return { engine, decoder, path }
    },
    async close(): Promise<void> {
      await Promise.all(engines.map((engine) => engine.dispose()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export const prompt = (...inputIds: number[]) => ({ inputIds, attentionMask: inputIds.map(() => 1) })
