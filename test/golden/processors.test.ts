import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convert } from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import type { RowEdit } from '../../src/generation/decoder.ts'
import { logitsProcessors } from '../../src/generation/logits/processors.ts'
import { resolveGeneration } from '../../src/generation/resolve.ts'
import { nativeRequest } from '../../src/generation/row-request.ts'
import { type Engine, openEngine } from '../../src/native/model.ts'
import { type FolderDescription, golden, makeFolder } from './convert-folder.ts'
import { caseFiles, goldenFolder, readJson, skipReason } from './reference.ts'

type Score = number | '-inf' | 'inf' | 'nan'

interface ProcessorCase {
  proc: string
  args: Record<string, unknown>
  eos?: number[]
  prompt_len?: number
  ids: number[][]
  scores: Score[][]
  out: Score[][]
}

interface GeneratorCase {
  seed: number
  probs: number[][]
  multinomial_1: number[]
  multinomial_5: number[][]
}

interface ProcessorCases {
  transformers: string
  cases: ProcessorCase[]
  rng: GeneratorCase[]
}

/** Size of the rows in the reference's file, and of the model that the native code is asked through. */
const VOCABULARY = 40

describe.skipIf(goldenFolder === undefined)(`the reference's processors${skipReason}`, () => {
  const [path] = caseFiles('processors')
  const reference = path === undefined ? { transformers: '', cases: [], rng: [] } : readJson<ProcessorCases>(path)
  let directory = ''
  let engine: Engine
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tandem-processors-'))
    engine = await openSmallest(directory)
  })
  afterAll(async () => {
    await engine?.dispose()
    await rm(directory, { recursive: true, force: true })
  })

  for (const name of new Set(reference.cases.map(({ proc }) => proc))) {
    const cases = reference.cases.filter(({ proc }) => proc === name)
    it(`${name} changes rows as transformers ${reference.transformers} does, in ${cases.length} cases`, async () => {
      for (const one of cases) {
        const edits = one.ids.map((ids, row) => editsOf(one, ids, row))
        const rows = Float32Array.from(one.scores.flat(), numberOf)
        const { logits } = await engine.choose(rows, nativeRequest({ candidates: 1, edits, logits: true }))
        one.out.flat().forEach((score, i) => {
          const expected = numberOf(score)
          const place = `${name} ${JSON.stringify(one.args)} at ${i}`
          if (Number.isFinite(expected) && Math.abs(expected) < 1e30) {
            expect(Math.abs((logits[i] ?? Number.NaN) - expected), place).toBeLessThanOrEqual(
              1e-5 * (1 + Math.abs(expected)),
            )
          } else expect(logits[i], place).toBe(Math.fround(expected))
        })
      }
    })
  }

  it('the generator draws what torch draws', async () => {
    expect(reference.rng.length).toBeGreaterThan(0)
    for (const { seed, probs, multinomial_1, multinomial_5 } of reference.rng) {
      const rows = Float32Array.from(probs.flat(), Math.log)
      for (const [candidates, expected] of [
        [1, multinomial_1],
        [5, multinomial_5.flat()],
      ] as const) {
        const draw = { generator: engine.createGenerator(seed), rows: [...probs.keys()], matrixRows: probs.length }
        const { ids } = await engine.choose(rows, nativeRequest({ candidates, draw }))
        expect({ seed, ids: Array.from(ids) }).toEqual({ seed, ids: expected })
      }
      // A row draws the same when the rows before it are skipped.
      const draw = { generator: engine.createGenerator(seed), rows: [2], matrixRows: 3 }
      const last = await engine.choose(rows.slice(2 * VOCABULARY), nativeRequest({ candidates: 5, draw }))
      expect(Array.from(last.ids)).toEqual(multinomial_5[2])
    }
  })
})

function numberOf(score: Score): number {
  return typeof score === 'number'
    ? score
    : { '-inf': Number.NEGATIVE_INFINITY, inf: Number.POSITIVE_INFINITY, nan: Number.NaN }[score]
}

/** The edits of the one processor of a case, or of its whole pipeline. */
function editsOf(one: ProcessorCase, ids: readonly number[], row: number): RowEdit[] {
  const { args } = one
  const eos = one.eos ?? (args['eos'] as number[] | undefined) ?? [1]
  const kept = args['min_keep'] as number | undefined
  const call = one.proc === 'pipeline' ? args : optionsOf(one.proc, args)
  const config = resolveGeneration({
    call: {
      eosTokenId: eos,
      // Two and more tokens are kept where beams need them: one to go on and each end token.
      ...(kept === undefined ? {} : { doSample: true, numBeams: 2, topK: 0, eosTokenId: eosFor(kept) }),
      ...(one.proc === 'temperature' ? { doSample: true, topK: 0 } : {}),
      ...call,
    },
  })
  const encoderRows = (args['encoder_ids'] as number[][] | undefined) ?? []
  const perItem = encoderRows.length === 0 ? 1 : one.ids.length / encoderRows.length
  const context = {
    inputIds: encoderRows[Math.floor(row / perItem)] ?? [],
    promptLength:
      one.prompt_len ?? (args['prompt_len'] as number | undefined) ?? (args['begin_index'] as number | undefined) ?? 1,
    padding: 0,
    lengthLimit: (args['max_length'] as number | undefined) ?? 1000,
    vocabularySize: VOCABULARY,
  }
  // One that keeps a single token is that of a search without beams.
  const single = kept === 1 ? { ...config, numBeams: 1 } : config
  return logitsProcessors(single, context).flatMap((process) => process(ids) ?? [])
}

function eosFor(kept: number): number[] {
  return Array.from({ length: kept - 1 }, (_, id) => id + 1)
}

/** The options of Hugging Face that make the processor of a case. */
function optionsOf(proc: string, args: Record<string, unknown>): object {
  const value = args['penalty'] ?? args['n'] ?? args['k'] ?? args['p'] ?? args['eps'] ?? args['t']
  switch (proc) {
    case 'bad_words_ids':
      return { badWordsIds: args['words'] }
    case 'sequence_bias':
      return { sequenceBias: args['bias'] }
    case 'min_length':
    case 'min_new_tokens':
      return { [proc]: args[proc] }
    case 'forced_eos_token_id':
      return { forcedEosTokenId: args['eos'] }
    case 'forced_bos_token_id':
      return { forcedBosTokenId: args['id'] }
    case 'suppress_tokens':
    case 'begin_suppress_tokens':
      return { [proc]: args['ids'] }
    case 'exponential_decay_length_penalty':
      return { exponentialDecayLengthPenalty: [args['start'], args['factor']] }
    case 'remove_invalid_values':
    case 'renormalize_logits':
      return { [proc]: true }
    default:
      return { [proc]: value }
  }
}

/** A T5 of random weights whose vocabulary is as large as the reference's rows. */
async function openSmallest(directory: string): Promise<Engine> {
  const { folder } = readJson<{ folder: FolderDescription }>(golden('t5-relu-tied-f32-odd-rows.json'))
  const config = { ...(JSON.parse(folder.files['config.json'] ?? '{}') as object), vocab_size: VOCABULARY }
  const shards = folder.shards.map(({ file, tensors }) => ({
    file,
    tensors: tensors.map((tensor) =>
      tensor.shape[0] === 320 ? { ...tensor, shape: [VOCABULARY, ...tensor.shape.slice(1)] } : tensor,
    ),
  }))
  const model = join(directory, 'model')
  await makeFolder(model, { ...folder, shards, files: { ...folder.files, 'config.json': JSON.stringify(config) } })
  const vocab = Object.fromEntries(Array.from({ length: VOCABULARY }, (_, id) => [`t${id}`, id]))
  await writeFile(
    join(model, 'tokenizer.json'),
    JSON.stringify({ version: '1.0', model: { type: 'BPE', vocab, merges: [] } }),
  )
  await writeFile(join(model, 'tokenizer_config.json'), '{}')
  const path = join(directory, 'model.gguf')
  await convert(model, { output: path, quantization: 'f32' })
  return openEngine(await readGguf(path), path, { device: 'cpu', threads: 1 })
}
