import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RowCandidates } from '../../src/generation/decoder.ts'
import { type OpenedModel, prompt, TINY_MODELS, tinyModel } from './tiny-models.ts'

const PROMPT = prompt(9, 30, 51, 12, 77, 8)
const OTHER = prompt(101, 40)
/** f32 sums in another order differ by this much. */
const DIGITS = 4

describe.each(TINY_MODELS)('the $kind decoder', (tiny) => {
  let model: Awaited<ReturnType<typeof tinyModel>>
  let opened: OpenedModel

  beforeAll(async () => {
    model = await tinyModel(tiny)
    opened = await model.open({ contextSize: 512, maxSequences: 12 })
  })
  afterAll(() => model.close())

  /** Feeds `tokens` one by one after the prompt; the rows of logits before each of them and after the last. */
  async function logits(source: typeof PROMPT, tokens: readonly number[]): Promise<Float32Array[]> {
    const { decoder } = opened
    const state = await decoder.start(source)
    const rows: RowCandidates[] = []
    for (const next of [state.promptIds, ...tokens.map((token) => [token])]) {
      rows.push(...(await decoder.step(state, [next], { candidates: 1, logits: true })))
    }
    await decoder.dispose(state)
    return rows.map((row) => row.logits ?? new Float32Array())
  }

  function expectClose(actual: ArrayLike<number> | undefined, expected: ArrayLike<number> | undefined): void {
    expect(expected).toHaveLength(opened.decoder.vocabularySize)
    const worst = Math.max(...Array.from(expected ?? [], (value, i) => Math.abs(value - (actual?.[i] ?? Number.NaN))))
    expect(worst).toBeLessThan(10 ** -DIGITS)
  }

  test('candidates are the best of the row, best first, with its log-sum-exp', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    const [row] = await decoder.step(state, [state.promptIds], { candidates: 5, logits: true })
    const sorted = Array.from(row?.logits ?? [], (score, id) => ({ id, score })).sort((a, b) => b.score - a.score)
    expect(Array.from(row?.ids ?? [])).toEqual(sorted.slice(0, 5).map(({ id }) => id))
    expect(Array.from(row?.scores ?? [])).toEqual(sorted.slice(0, 5).map(({ score }) => score))
    expect(row?.logSumExp).toBeCloseTo(Math.log(sorted.reduce((sum, { score }) => sum + Math.exp(score), 0)), 4)
    await decoder.dispose(state)
  })

  test('several tokens in one step give what they give one by one', async () => {
    const { decoder } = opened
    const tokens = [14, 3, 90, 41, 22]
    const expected = (await logits(PROMPT, tokens)).at(-1)
    const state = await decoder.start(PROMPT)
    const [row] = await decoder.step(state, [[...state.promptIds, ...tokens]], { candidates: 1, logits: true })
    expectClose(row?.logits, expected)
    await decoder.dispose(state)
  })

  test('reordered, multiplied and dropped rows continue their own past', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    await decoder.step(state, [state.promptIds], { candidates: 1 })
    decoder.reorder(state, [0, 0, 0])
    await decoder.step(state, [[11], [12], [13]], { candidates: 1 })
    decoder.reorder(state, [2, 0, 1, 2])
    await decoder.step(state, [[21], [22], [23], [24]], { candidates: 1 })
    decoder.reorder(state, [3, 1])
    const rows = await decoder.step(state, [[31], [32]], { candidates: 1, logits: true })
    expectClose(rows[0]?.logits, (await logits(PROMPT, [13, 24, 31])).at(-1))
    expectClose(rows[1]?.logits, (await logits(PROMPT, [11, 22, 32])).at(-1))
    await decoder.dispose(state)
  })

  test('rows may trade places in any way', async () => {
    const { decoder } = opened
    const orders = [
      [1, 0, 2, 3],
      [1, 2, 3, 0],
      [3, 3, 0, 1],
      [2, 3, 0, 1],
      [0, 0, 3, 2],
    ]
    for (const order of orders) {
      const state = await decoder.start(OTHER)
      await decoder.step(state, [state.promptIds], { candidates: 1 })
      decoder.reorder(state, [0, 0, 0, 0])
      await decoder.step(state, [[11], [12], [13], [14]], { candidates: 1 })
      decoder.reorder(state, order)
      const rows = await decoder.step(state, [[5], [6], [7], [8]], { candidates: 1, logits: true })
      for (const [i, parent] of order.entries()) {
        expectClose(rows[i]?.logits, (await logits(OTHER, [11 + parent, 5 + i])).at(-1))
      }
      await decoder.dispose(state)
    }
  })

  test('prompts of different lengths that run at once do not change one another', async () => {
    const tokens = [5, 6, 7]
    const alone = [await logits(PROMPT, tokens), await logits(OTHER, tokens)]
    const together = await Promise.all([logits(PROMPT, tokens), logits(OTHER, tokens), logits(PROMPT, tokens)])
    for (const [i, rows] of together.entries()) {
      for (const [step, row] of rows.entries()) expectClose(row, alone[i % 2]?.[step])
    }
  })

  test('padding never changes a row', async () => {
    const { inputIds } = PROMPT
    const padded =
      tiny.kind === 'encoder-decoder'
        ? { inputIds: [...inputIds, 0, 0, 0], attentionMask: [1, 1, 1, 1, 1, 1, 0, 0, 0] }
        : { inputIds: [0, 0, 0, ...inputIds], attentionMask: [0, 0, 0, 1, 1, 1, 1, 1, 1] }
    const expected = await logits(PROMPT, [4, 17])
    const actual = await logits(padded, [4, 17])
    for (const [i, row] of actual.entries()) expectClose(row, expected[i])
  })

  test('edits are applied in order before the candidates are chosen', async () => {
    const { decoder } = opened
    const [plain] = await logits(PROMPT, [])
    const best = plain?.indexOf(Math.max(...plain)) ?? -1
    const state = await decoder.start(PROMPT)
    const edits = [
      [
        { kind: 'penalize' as const, ids: [best, 3], penalty: 1.5 },
        { kind: 'ban' as const, ids: [best] },
      ],
    ]
    const [row] = await decoder.step(state, [state.promptIds], { candidates: 1, edits, logits: true })
    expect(row?.logits?.[best]).toBe(Number.NEGATIVE_INFINITY)
    expect(row?.ids[0]).not.toBe(best)
    const score = plain?.[3] ?? 0
    expect(row?.logits?.[3]).toBeCloseTo(score < 0 ? score * 1.5 : score / 1.5, DIGITS)
    await decoder.dispose(state)
  })

  test('rows that share a past share its memory, also while the candidates of contrastive search come and go', async () => {
    const { decoder } = opened
    const past = Array.from({ length: 300 }, (_, i) => (i * 7) % 90)
    const state = await decoder.start(PROMPT)
    await decoder.step(state, [[...state.promptIds, ...past]], { candidates: 1 })
    // Ten copies of the past would need 3000 cells of 512.
    decoder.reorder(state, new Array<number>(10).fill(0))
    for (let step = 0; step < 8; step++) {
      const next = Array.from({ length: 10 }, (_, row) => [(step * 11 + row) % 90])
      const rows = await decoder.step(state, next, { candidates: 1, hiddenStates: true })
      expect(rows).toHaveLength(10)
      decoder.reorder(state, new Array<number>(10).fill(step % 10))
    }
    await decoder.dispose(state)
  })

  test('hidden states are those of every token that was fed, whatever else was fed with it', async () => {
    const { decoder, engine } = opened
    const tokens = Array.from({ length: 90 }, (_, i) => (i * 13) % 90)
    const size = engine.description.hiddenSize
    const together = await decoder.start(PROMPT)
    const [all] = await decoder.step(together, [[...together.promptIds, ...tokens]], {
      candidates: 1,
      hiddenStates: true,
    })
    const length = together.promptIds.length + tokens.length
    expect(all?.hiddenStates).toHaveLength(length * size)
    const apart = await decoder.start(PROMPT)
    await decoder.step(apart, [[...apart.promptIds, ...tokens.slice(0, -1)]], { candidates: 1 })
    const [last] = await decoder.step(apart, [tokens.slice(-1)], { candidates: 1, hiddenStates: true })
    const expected = Array.from(all?.hiddenStates.slice((length - 1) * size) ?? [])
    expect(last?.hiddenStates).toHaveLength(size)
    expected.forEach((value, i) => {
      expect(last?.hiddenStates[i]).toBeCloseTo(value, 3)
    })
    await Promise.all([decoder.dispose(together), decoder.dispose(apart)])
  })

  test('draws need a generator of this addon and rows in order', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    const generator = decoder.createGenerator(1)
    for (const draw of [
      { generator: { native: 'generator' as const }, rows: [0], matrixRows: 1 },
      { generator, rows: [1], matrixRows: 1 },
      { generator, rows: [-1], matrixRows: 1 },
      { generator, rows: [0, 1], matrixRows: 2 },
    ]) {
      const step = async () => decoder.step(state, [state.promptIds], { candidates: 1, draw })
      await expect(step()).rejects.toMatchObject({ code: 'invalid-argument' })
    }
    await decoder.dispose(state)
  })

  test('a full context is an error that names the numbers, and the rest goes on', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    const flood = Array.from({ length: 600 }, (_, i) => i % 90)
    await expect(decoder.step(state, [[...state.promptIds, ...flood]], { candidates: 1 })).rejects.toMatchObject({
      code: 'context-full',
      message: expect.stringMatching(/512/) as string,
    })
    await decoder.dispose(state)
    expect(await logits(OTHER, [5])).toHaveLength(2)
  })

  test('a context smaller than a piece of a prompt is full, too', async () => {
    const small = await model.open({ contextSize: 64 })
    const flood = prompt(...Array.from({ length: 300 }, (_, i) => i % 90))
    const request = async () => {
      const state = await small.decoder.start(flood)
      await small.decoder.step(state, [[...state.promptIds, ...flood.inputIds]], { candidates: 1 })
    }
    await expect(request()).rejects.toMatchObject({ code: 'context-full' })
  })

  test('a long row that is computed in pieces gives what it gives token by token', async () => {
    const roomy = await model.open({ contextSize: 2048 })
    const tokens = Array.from({ length: 700 }, (_, i) => (i * 7) % 90)
    const last = async (pieces: readonly (readonly number[])[]) => {
      const state = await roomy.decoder.start(OTHER)
      await roomy.decoder.step(state, [state.promptIds], { candidates: 1 })
      let row: RowCandidates | undefined
      for (const piece of pieces) [row] = await roomy.decoder.step(state, [piece], { candidates: 1, logits: true })
      await roomy.decoder.dispose(state)
      return row?.logits
    }
    expectClose(await last([tokens]), await last(tokens.map((token) => [token])))
  })

  test('disposing during a step gives no sequence back twice', async () => {
    const { engine, decoder } = await model.open()
    const state = await decoder.start(PROMPT)
    await decoder.step(state, [state.promptIds], { candidates: 1 })
    decoder.reorder(state, [0, 0, 0])
    await decoder.step(state, [[1], [2], [3]], { candidates: 1 })
    decoder.reorder(state, [0])
    const step = decoder.step(state, [[4]], { candidates: 1 })
    await Promise.all([decoder.dispose(state), step])
    const taken = Array.from({ length: 6 }, () => engine.takeSequence())
    expect(new Set(taken).size).toBe(taken.length)
  })

  test('an edit may name as many ids as there are', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    const all = Array.from({ length: 200_000 }, (_, i) => i % (decoder.vocabularySize - 1))
    const edits = [[{ kind: 'ban' as const, ids: all }]]
    const [row] = await decoder.step(state, [state.promptIds], { candidates: 1, edits })
    expect(row?.ids[0]).toBe(decoder.vocabularySize - 1)
    await decoder.dispose(state)
  })

  test('tokens outside the vocabulary, empty and wrongly padded prompts are refused', async () => {
    const { decoder } = opened
    const state = await decoder.start(PROMPT)
    for (const token of [-1, decoder.vocabularySize, 2 ** 31 - 1]) {
      await expect(decoder.step(state, [[token]], { candidates: 1 })).rejects.toMatchObject({
        code: 'invalid-argument',
      })
    }
    await expect(decoder.step(state, [[1]], { candidates: 0 })).rejects.toMatchObject({ code: 'invalid-argument' })
    await decoder.dispose(state)
    await decoder.dispose(state)
    await expect(decoder.start(prompt())).rejects.toMatchObject({ code: 'invalid-argument' })
    if (tiny.kind === 'decoder-only') {
      const rightPadded = { inputIds: [1, 0], attentionMask: [1, 0] }
      await expect(decoder.start(rightPadded)).rejects.toMatchObject({ code: 'invalid-argument' })
    }
  })

  test('sequences and sources are given back', async () => {
    for (let i = 0; i < 40; i++) {
      const state = await opened.decoder.start(OTHER)
      await opened.decoder.step(state, [state.promptIds], { candidates: 1 })
      opened.decoder.reorder(state, [0, 0, 0, 0])
      await opened.decoder.step(state, [[1], [2], [3], [4]], { candidates: 1 })
      await opened.decoder.dispose(state)
    }
  })
})

test('more hypotheses than a decoder-only model was opened for is a typed error', async () => {
  const model = await tinyModel(TINY_MODELS[1])
  const { decoder } = await model.open({ maxSequences: 2 })
  const states = [await decoder.start(PROMPT), await decoder.start(PROMPT)]
  await expect(decoder.start(PROMPT)).rejects.toMatchObject({ code: 'too-many-sequences' })
  await Promise.all(states.map((state) => decoder.dispose(state)))
  await decoder.dispose(await decoder.start(PROMPT))
  await expect(model.open({ maxSequences: 256 })).rejects.toMatchObject({ code: 'invalid-argument' })
  await model.close()
})

test('a source that is masked completely is attended to evenly, as transformers does', async () => {
  const model = await tinyModel(TINY_MODELS[0])
  const { decoder } = await model.open()
  const state = await decoder.start({ inputIds: [9, 30], attentionMask: [0, 0] })
  const [row] = await decoder.step(state, [state.promptIds], { candidates: 1 })
  expect(Number.isFinite(row?.scores[0])).toBe(true)
  await decoder.dispose(state)
  await model.close()
})
