import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAIN } from '../integration/command.ts'
import {
  type GenerationCase,
  type GenerationCases,
  type LegacyCases,
  type MaskedInput,
  paddedInputs,
  withoutFill,
} from './generation-cases.ts'
import { caseFiles, goldenFolder, readJson, skipReason } from './reference.ts'

interface Answer {
  id: { id: string; row: number }
  sequences?: { ids: number[]; score: number | null; finishReason: string }[]
  seed?: number
  error?: { code: string }
}

/** A line of input and what the reference says to it. */
interface Request {
  one: GenerationCase
  row: number
  input: MaskedInput
}

describe.skipIf(goldenFolder === undefined)(`tandem generate --input${skipReason}`, () => {
  let cache = ''
  beforeAll(async () => {
    cache = await mkdtemp(join(tmpdir(), 'tandem-lines-'))
  })
  afterAll(() => rm(cache, { recursive: true, force: true }))

  for (const [index, file] of caseFiles('gen-').entries()) {
    const golden = readJson<GenerationCases>(file)
    const { contrastive } = readJson<LegacyCases>(caseFiles('legacy-')[index] ?? '')
    const folder = join(goldenFolder ?? '', 'models', golden.model)
    // The rows of a seeded batch share one generator in the reference; on a command line every line has its own.
    const requests = [...golden.cases, ...contrastive]
      .filter(({ out, error }) => out?.stable === true || error !== undefined)
      .flatMap((one) => paddedInputs(golden, one).map((input, row): Request => ({ one, row, input })))
      .filter(({ one }) => one.seed === undefined || (one.prompts ?? one.inputs ?? []).length === 1)

    it(`gives ${golden.model}'s ${requests.length} texts of all searches`, async () => {
      expect(requests.length).toBeGreaterThan(150)
      const lines = requests.map(({ one, row, input }) => {
        const seed = one.seed === undefined ? {} : { seed: one.seed }
        return JSON.stringify({ id: { id: one.id, row }, ...input, ...one.kw, ...seed })
      })
      const answers = await run(['-m', folder, '--quantize', 'f32', '--threads', '1'], lines, cache)
      const defaults = await readFile(join(folder, 'generation_config.json'), 'utf8')
      const model = JSON.parse(defaults) as Record<string, unknown>
      expect(answers).toHaveLength(requests.length)
      for (const [i, { one, row }] of requests.entries()) {
        if (one.error === undefined) expectSame(answers[i], { one, row }, model)
        else expect(answers[i]?.error?.code, one.id).toBe('invalid-argument')
      }
    })
  }
})

function expectSame(
  answer: Answer | undefined,
  { one, row }: Pick<Request, 'one' | 'row'>,
  model: Record<string, unknown>,
): void {
  const { id, kw, seed, out } = one
  const options = kw as Record<string, unknown>
  const count = (options['num_return_sequences'] as number | undefined) ?? 1
  const eosTokenIds = [options['eos_token_id'] ?? model['eos_token_id']].flat() as number[]
  const ends = { eosTokenIds, padTokenId: model['pad_token_id'] as number }
  const rows = (out?.gen ?? []).slice(row * count, (row + 1) * count)
  const texts = answer?.sequences ?? []
  const expected = rows.map((ids, i) => withoutFill(ids, texts[i]?.finishReason, ends))
  expect({ id, ids: texts.map(({ ids }) => ids) }).toEqual({ id, ids: expected })
  if (seed !== undefined) expect(answer?.seed).toBe(seed)
  for (const [i, score] of (out?.scores ?? []).slice(row * count, (row + 1) * count).entries()) {
    expect(Math.abs((texts[i]?.score ?? Number.NaN) - score), id).toBeLessThanOrEqual(2e-4 * Math.abs(score))
  }
}

async function run(options: string[], lines: readonly string[], cache: string): Promise<Answer[]> {
  const child = spawn(process.execPath, [MAIN, 'generate', '--json', '--input', '-', ...options], {
    env: { ...process.env, TANDEM_CACHE: cache },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(lines.join('\n'))
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer)
}
