/**
 * Size, speed and nearness to f32 of every quantisation: the tables of docs/quantization.md.
 *
 *     npm run build && npx vitest run --config vitest.bench.config.ts bench/quantization.ts
 *
 * needs no download and prints Markdown. MODELS=nano-chatlm,nano-qwen,chatlm and TYPES=q8_0,q4_0 choose less; CHATLM=DIR
 * names a folder with ChatLM's own tokenizer, else nano-chatlm's stands in, which changes no number here. The nano models
 * answer every sixth prompt of the held-out list. ChatLM has its real shape and random weights: its tokens mean nothing,
 * and it follows those of the golden file.
 *
 * - size: of the tensors, without the metadata
 * - conversion: seconds of processor time, all threads together; the vocabulary takes its share
 * - tokens/s: greedy, one text at a time on one thread, in seconds of processor time, which other programs on the machine
 *   change less than those of a clock; the best of five runs
 * - KL: mean divergence from the distribution of f32, in nats, at every token of the answer that f32 gives
 * - same answer: share of prompts whose greedy answer is f32's, token for token
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { convert, QUANTIZATION_NAMES, type Quantization } from '../src/convert/convert.ts'
import { requireMixable } from '../src/convert/quantization.ts'
import type { GenerationInput } from '../src/runtime/input.ts'
import type { LanguageModel } from '../src/runtime/language-model.ts'
import { load } from '../src/runtime/load.ts'
import { divergence, forced } from '../test/generation/divergence.ts'
import { writeShapeFolder } from '../test/golden/shape-folder.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const CHOSEN_MODELS = (process.env['MODELS'] ?? 'nano-chatlm,nano-qwen,chatlm').split(',')
const CHOSEN_TYPES = (process.env['TYPES'] ?? QUANTIZATION_NAMES.replaceAll(', ', ',')).split(',')
const STRIDE = 6
const REPEATS = 5
const CHATLM_TOKENS = 64

/** A text to answer, and the answer that all types are made to follow; f32's own where there is none. */
interface Case {
  input: GenerationInput
  ids?: number[]
}

interface Subject {
  architecture: string
  folder: string
  cases: Case[]
  /** Tokens to generate where a model never ends by itself. */
  endless?: number
}

/** What f32 says to one case. */
interface Reference {
  inputIds: number[]
  /** The answer that is followed. */
  ids: number[]
  /** What f32 answers by itself. */
  answer: number[]
  rows: Float32Array[]
}

let workspace = ''
beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'tandem-bench-'))
})
afterAll(() => rm(workspace, { recursive: true, force: true }))

describe.each(CHOSEN_MODELS)('%s', (name) => {
  test('table', async () => {
    const subject = await subjectOf(name)
    const references: Reference[] = []
    const lines = [
      `${name}, ${subject.cases.length} prompts, ${cpus()[0]?.model ?? 'unknown processor'} (${cpus().length} cores)`,
      '',
      '| type | size (MB) | conversion (s) | tokens/s | KL (nats) | same answer |',
      '|---|---|---|---|---|---|',
    ]
    for (const quantization of quantizationsOf(subject.architecture)) {
      const line = await measure(subject, quantization, references)
      if (CHOSEN_TYPES.includes(quantization)) lines.push(line)
    }
    console.log(`\n${lines.join('\n')}\n`)
  })
})

/** f32 first: the others are compared with it. */
function quantizationsOf(architecture: string): Quantization[] {
  const names = QUANTIZATION_NAMES.split(', ') as Quantization[]
  const isPossible = (name: Quantization) => {
    try {
      requireMixable(name, architecture)
      return true
    } catch {
      return false
    }
  }
  return names.filter((name) => name === 'f32' || (CHOSEN_TYPES.includes(name) && isPossible(name)))
}

async function measure(subject: Subject, quantization: Quantization, references: Reference[]): Promise<string> {
  const path = join(workspace, 'model.gguf')
  const begin = process.cpuUsage()
  await convert(subject.folder, { output: path, quantization })
  const conversion = secondsSince(begin)
  await using model = await load(path, { device: 'cpu', threads: 1 })
  if (references.length === 0) for (const one of subject.cases) references.push(await refer(model, subject, one))
  const { speed, answers } = await answer(model, subject)
  const same = answers.filter((ids, i) => String(ids) === String(references[i]?.answer)).length
  const bytes = model.file.gguf.tensors.reduce((sum, { size }) => sum + size, 0)
  const columns = [
    quantization,
    (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0),
    conversion.toFixed(1),
    String(Number(speed.toPrecision(3))),
    quantization === 'f32' ? '0' : (await meanDivergence(model, references)).toExponential(1),
    subject.endless === undefined ? `${((100 * same) / answers.length).toFixed(1)} %` : '–',
  ]
  return `| ${columns.join(' | ')} |`
}

async function refer(model: LanguageModel, subject: Subject, { input, ids }: Case): Promise<Reference> {
  const result = await model.generate(input, optionsOf(subject))
  const followed = ids ?? result.ids
  const rows = await rowsOf(model, result.inputIds, followed)
  return { inputIds: result.inputIds, ids: followed, answer: result.ids, rows }
}

async function rowsOf(model: LanguageModel, inputIds: number[], ids: number[]): Promise<Float32Array[]> {
  return (await forced(model.decoder, inputIds, ids)).map(({ logits }) => logits ?? new Float32Array())
}

async function meanDivergence(model: LanguageModel, references: readonly Reference[]): Promise<number> {
  const values: number[] = []
  for (const { inputIds, ids, rows } of references) {
    const found = await rowsOf(model, inputIds, ids)
    values.push(...rows.map((row, i) => divergence(row, found[i])))
  }
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

async function answer(model: LanguageModel, subject: Subject): Promise<{ speed: number; answers: number[][] }> {
  const speeds: number[] = []
  let answers: number[][] = []
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const begin = process.cpuUsage()
    answers = []
    for (const { input } of subject.cases) answers.push((await model.generate(input, optionsOf(subject))).ids)
    speeds.push(answers.flat().length / secondsSince(begin))
  }
  return { speed: Math.max(...speeds), answers }
}

/** Processor time of all threads. */
function secondsSince(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin)
  return (user + system) / 1e6
}

function optionsOf({ endless }: Subject): object {
  const length = endless === undefined ? {} : { maxNewTokens: endless, eosTokenId: null }
  return { doSample: false, repetitionPenalty: 1, ...length }
}

async function subjectOf(name: string): Promise<Subject> {
  if (name === 'chatlm') return chatlm()
  const lines = (await readFile(join(REPOSITORY, 'scripts/train/heldout.jsonl'), 'utf8')).trim().split('\n')
  const prompts = lines
    .filter((_, i) => i % STRIDE === 0)
    .map((line) => (JSON.parse(line) as { prompt: string }).prompt)
  const isChat = name === 'nano-qwen'
  const inputs = prompts.map((content): GenerationInput => (isChat ? [{ role: 'user', content }] : content))
  return {
    architecture: isChat ? 'qwen2' : 't5',
    folder: join(REPOSITORY, 'models', name),
    cases: inputs.map((input) => ({ input })),
  }
}

async function chatlm(): Promise<Subject> {
  const folder = join(workspace, 'chatlm')
  const { cases } = await writeShapeFolder(folder, {
    shape: join(REPOSITORY, 'test/golden/real-shapes/chatlm.json'),
    tokenizer: process.env['CHATLM'] ?? join(REPOSITORY, 'models/nano-chatlm'),
  })
  const forcedCases = cases.map(({ inputIds, ids }) => ({ input: { inputIds }, ids }))
  return { architecture: 't5', folder, cases: forcedCases, endless: CHATLM_TOKENS }
}
