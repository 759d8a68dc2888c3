/**
 * What our kernels gain over ggml's: milliseconds of a decoder step and of an encoder run at ChatLM's shape in q8_0.
 *
 *     npm run build && npx vitest run --config vitest.bench.config.ts bench/t5-steps.ts
 *
 * needs no download and prints Markdown. KERNELS=ggml,avx2 chooses among those that the processor has, THREADS the number
 * of threads (all cores), SOURCES BEAMS and TURNS the sizes. All kernels are loaded side by side and take turns, so that what
 * else runs on the machine meets all of them; a number is the least and the median of all turns.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, test } from 'vitest'
import { convert } from '../src/convert/convert.ts'
import type { Decoder, DecoderState } from '../src/generation/decoder.ts'
import { loadNative } from '../src/native/library.ts'
import type { LanguageModel } from '../src/runtime/language-model.ts'
import { load } from '../src/runtime/load.ts'
import { writeShapeFolder } from '../test/golden/shape-folder.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const list = (name: string, otherwise: string) => (process.env[name] ?? otherwise).split(',')
const KERNELS = list('KERNELS', ['ggml', ...loadNative().kernels()].join(','))
const SOURCES = list('SOURCES', '16,128,512').map(Number)
const BEAMS = list('BEAMS', '1,5').map(Number)
const THREADS = Number(process.env['THREADS'] ?? cpus().length)
const TURNS = Number(process.env['TURNS'] ?? 7)
const STEPS = 12
const ENCODES = 1

let workspace = ''
const models = new Map<string, LanguageModel>()
beforeAll(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'tandem-bench-'))
  await writeShapeFolder(join(workspace, 'chatlm'), {
    shape: join(REPOSITORY, 'test/golden/real-shapes/chatlm.json'),
    tokenizer: join(REPOSITORY, 'models/nano-chatlm'),
  })
  const path = join(workspace, 'chatlm.gguf')
  await convert(join(workspace, 'chatlm'), { output: path, quantization: 'q8_0' })
  for (const kernels of KERNELS) {
    process.env['TANDEM_KERNELS'] = kernels
    models.set(kernels, await load(path, { device: 'cpu', threads: THREADS }))
  }
})
afterAll(async () => {
  for (const model of models.values()) await model.dispose()
  await rm(workspace, { recursive: true, force: true })
})

test('table', async () => {
  const lines = [
    `${cpus()[0]?.model ?? 'unknown processor'}, ${THREADS} threads; least and median of ${TURNS} turns, ms`,
    '',
    `| work | ${KERNELS.join(' | ')} | ratio of the least |`,
    `|---|${KERNELS.map(() => '---|').join('')}---|`,
  ]
  for (const source of SOURCES) {
    for (const beams of BEAMS) {
      lines.push(await row(`step, ${beams} beams, source ${source}`, (decoder) => timeSteps(decoder, source, beams)))
    }
  }
  lines.push(await row('encode 512', timeEncoder))
  console.log(`\n${lines.join('\n')}\n`)
})

async function row(work: string, measure: (decoder: Decoder) => Promise<number>): Promise<string> {
  const times = new Map<string, number[]>(KERNELS.map((kernels) => [kernels, []]))
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [kernels, model] of models) times.get(kernels)?.push(await measure(model.decoder))
  }
  const sorted = KERNELS.map((kernels) => (times.get(kernels) ?? []).sort((a, b) => a - b))
  const columns = sorted.map((list) => `${list[0]?.toFixed(2)} / ${list[Math.floor(list.length / 2)]?.toFixed(2)}`)
  const [first = Number.NaN, second = Number.NaN] = sorted.map((list) => list[0])
  return `| ${work} | ${columns.join(' | ')} | ${(first / second).toFixed(2)} |`
}

async function start(decoder: Decoder, length: number): Promise<DecoderState> {
  const inputIds = Array.from({ length }, (_, i) => 7 + ((i * 37) % 29000))
  return decoder.start({ inputIds, attentionMask: inputIds.map(() => 1) })
}

async function timeSteps(decoder: Decoder, source: number, beams: number): Promise<number> {
  const state = await start(decoder, source)
  const step = async (tokens: number[][]) => decoder.step(state, tokens, { candidates: 2 * beams })
  await step([[...state.promptIds]])
  decoder.reorder(state, new Array<number>(beams).fill(0))
  const begin = performance.now()
  for (let i = 0; i < STEPS; i++) await step(Array.from({ length: beams }, (_, beam) => [7 + beam * 101 + i * 13]))
  const duration = performance.now() - begin
  await decoder.dispose(state)
  return duration / STEPS
}

async function timeEncoder(decoder: Decoder): Promise<number> {
  const begin = performance.now()
  for (let i = 0; i < ENCODES; i++) await decoder.dispose(await start(decoder, 512))
  return (performance.now() - begin) / ENCODES
}
