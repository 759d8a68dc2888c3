import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { prompt, TINY_MODELS, tinyModel } from './tiny-models.ts'

const PROMPT = prompt(9, 30, 51, 12)
/** Long enough that the call is still running when the test acts on it. */
const LONG = prompt(...Array.from({ length: 2000 }, (_, i) => i % 90))

describe.each(TINY_MODELS)('the life of a $kind engine', (tiny) => {
  let model: Awaited<ReturnType<typeof tinyModel>>

  beforeAll(async () => {
    model = await tinyModel(tiny)
  })
  afterAll(() => model.close())

  test('dispose is idempotent, and everything afterwards rejects', async () => {
    const { engine, decoder } = await model.open()
    const state = await decoder.start(PROMPT)
    await Promise.all([engine.dispose(), engine.dispose()])
    await engine.dispose()
    await expect(decoder.step(state, [[1]], { candidates: 1 })).rejects.toMatchObject({ code: 'disposed' })
    await decoder.dispose(state)
  })

  test('dispose in the middle of a step ends it and all that wait', async () => {
    const { engine, decoder } = await model.open()
    const [state, waiting] = [await decoder.start(LONG), await decoder.start(PROMPT)]
    const running = decoder.step(state, [[...state.promptIds, ...LONG.inputIds]], { candidates: 1 })
    const queued = decoder.step(waiting, [waiting.promptIds], { candidates: 1 })
    const settled = Promise.allSettled([running, queued])
    await engine.dispose()
    const [first, second] = await settled
    // The first may have been faster than the dispose; the second cannot have been.
    if (first.status === 'rejected') expect(first.reason).toMatchObject({ code: 'disposed' })
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'disposed' } })
  })

  test('abort ends a running call within the step, and the engine goes on', async () => {
    const { decoder } = await model.open()
    const state = await decoder.start(PROMPT)
    const controller = new AbortController()
    const tokens = [...state.promptIds, ...LONG.inputIds, ...LONG.inputIds.slice(0, 1500)]
    const running = decoder.step(state, [tokens], { candidates: 1 }, controller.signal)
    // The engine's thread has begun by then, and thousands of tokens take it a thousand times longer than this.
    setImmediate(() => controller.abort(new Error('the user left')))
    await expect(running).rejects.toMatchObject({ code: 'aborted', cause: { message: 'the user left' } })
    await decoder.dispose(state)
    const next = await decoder.start(PROMPT)
    expect(await decoder.step(next, [next.promptIds], { candidates: 1 })).toHaveLength(1)
    await decoder.dispose(next)
  })

  test('abort reaches a call that waits, and only that one', async () => {
    const { decoder } = await model.open()
    // The first call keeps the engine busy, so that the second still waits when it is aborted.
    const states = [await decoder.start(PROMPT), await decoder.start(PROMPT), await decoder.start(PROMPT)]
    const controller = new AbortController()
    const calls = states.map((state, i) => {
      const tokens = i === 0 ? [...state.promptIds, ...LONG.inputIds] : state.promptIds
      return decoder.step(state, [tokens], { candidates: 1 }, i === 1 ? controller.signal : undefined)
    })
    controller.abort()
    const results = await Promise.allSettled(calls)
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('a signal that has already fired starts nothing', async () => {
    const { decoder } = await model.open()
    const state = await decoder.start(PROMPT)
    const call = decoder.step(state, [state.promptIds], { candidates: 1 }, AbortSignal.abort())
    await expect(call).rejects.toMatchObject({ code: 'aborted' })
  })

  test('several models live side by side', async () => {
    const opened = await Promise.all([model.open(), model.open(), model.open()])
    const answers = await Promise.all(
      opened.map(async ({ decoder }) => {
        const state = await decoder.start(PROMPT)
        return (await decoder.step(state, [state.promptIds], { candidates: 3 }))[0]?.ids.join()
      }),
    )
    expect(new Set(answers).size).toBe(1)
    await opened[0]?.engine.dispose()
    const { decoder } = opened[1] ?? (await model.open())
    const state = await decoder.start(PROMPT)
    expect(await decoder.step(state, [state.promptIds], { candidates: 1 })).toHaveLength(1)
  })

  test('bad options are typed errors', async () => {
    await expect(model.open({ device: 'abacus' })).rejects.toMatchObject({ code: 'device-unavailable' })
    for (const bad of [
      { threads: 0 },
      { threads: 1.5 },
      { threads: 600 },
      { contextSize: -1 },
      { threads: Number.NaN },
    ]) {
      await expect(model.open(bad)).rejects.toMatchObject({ code: 'invalid-argument' })
    }
  })

  test('a context that no memory can hold is a typed error, and the process lives', async () => {
    const attempt = model.open({ contextSize: 2_000_000_000 })
    await expect(attempt).rejects.toMatchObject({ name: 'TandemError' })
    expect((await model.open()).engine.description.vocabularySize).toBeGreaterThan(0)
  })
})
