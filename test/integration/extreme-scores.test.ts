import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RowEdit, StepOptions } from '../../src/generation/decoder.ts'
import { nativeRequest } from '../../src/generation/row-request.ts'
import type { Engine } from '../../src/native/model.ts'
import { TINY_MODELS, tinyModel } from './tiny-models.ts'

const [TINY] = TINY_MODELS
const BANNED = Number.NEGATIVE_INFINITY

describe('rows of extreme scores', () => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  let engine: Engine
  beforeAll(async () => {
    model = await tinyModel(TINY)
    engine = (await model.open()).engine
  })
  afterAll(() => model.close())

  /** Rows that hold `rest` but for some ids; what is chosen from them. */
  async function choose(rows: readonly Record<number, number>[], rest: number, options: Partial<StepOptions> = {}) {
    const size = engine.description.vocabularySize
    const scores = rows.flatMap((row) => Array.from({ length: size }, (_, id) => row[id] ?? rest))
    const result = await engine.choose(Float32Array.from(scores), nativeRequest({ candidates: 2, ...options }))
    return { ids: Array.from(result.ids), beams: Array.from(result.beams), scores: Array.from(result.scores) }
  }
  const draw = () => ({ generator: engine.createGenerator(1), rows: [0], matrixRows: 1 })

  it('have no candidates when every token is banned, drawn or not', async () => {
    expect(await choose([{}], BANNED)).toMatchObject({ ids: [] })
    expect(await choose([{}], BANNED, { draw: draw() })).toMatchObject({ ids: [] })
    expect(await choose([{}], BANNED, { draw: draw(), beamScores: [0] })).toMatchObject({ ids: [] })
    expect(await choose([{}], BANNED, { edits: [[{ kind: 'logSoftmax' }]] })).toMatchObject({ ids: [] })
  })

  it('put what is infinite first, as an argmax does, and draw nothing from it', async () => {
    expect(await choose([{ 3: Number.POSITIVE_INFINITY, 2: 5 }], 0)).toMatchObject({ ids: [3, 2] })
    expect(await choose([{ 3: Number.POSITIVE_INFINITY }], 0, { draw: draw() })).toMatchObject({ ids: [] })
  })

  it('are an error where they are no numbers, whatever filters them', async () => {
    const warpers = (['topP', 'minP', 'typicalP', 'epsilonCutoff', 'etaCutoff'] as const).map(
      (kind): RowEdit => ({ kind, value: 0.3, minTokensToKeep: 1 }),
    )
    for (const row of [{ 0: Number.NaN }, { 9: Number.NaN }, { 0: Number.NaN, 4: Number.POSITIVE_INFINITY }]) {
      for (const edits of [[], ...warpers.map((warper) => [warper])]) {
        await expect(choose([row], 0, { edits: [edits] })).rejects.toMatchObject({ code: 'compute-failed' })
      }
    }
  })

  it('force what the caller allows when the rules before ban all of it', async () => {
    const edits: RowEdit[] = [
      { kind: 'ban', ids: [5, 7] },
      { kind: 'keep', ids: [7, 5] },
    ]
    expect(await choose([{}], 1, { edits: [edits] })).toMatchObject({ ids: [5, 7], scores: [0, 0] })
    // The token that is left wins, though every other of its row is better.
    expect(await choose([{ 6: -9 }], 1, { edits: [[...edits.slice(0, 1), { kind: 'keep', ids: [5, 6] }]] })).toEqual({
      ids: [6],
      beams: [0],
      scores: [-9],
    })
  })

  it('force it among beams only when none of them has anything left', async () => {
    const dead: RowEdit[] = [
      { kind: 'ban', ids: [5] },
      { kind: 'keep', ids: [5] },
      { kind: 'add', ids: [5], bias: -0.5 },
    ]
    const beamScores = [-1, -2]
    expect(await choose([{}, {}], 1, { edits: [dead, dead], beamScores })).toEqual({
      ids: [5, 5],
      beams: [0, 1],
      scores: [-1.5, -2.5],
    })
    const alive: RowEdit[] = [{ kind: 'keep', ids: [6] }]
    expect(await choose([{}, {}], 1, { edits: [dead, alive], beamScores })).toEqual({
      ids: [6],
      beams: [1],
      scores: [-1],
    })
  })
})
