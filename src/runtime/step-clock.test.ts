import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { FakeDecoder } from '../../test/generation/fake-decoder.ts'
import { medianOf, StepClock } from './step-clock.ts'

const PROMPT = { inputIds: [1], attentionMask: [1] }

/** What a search would do between steps. */
function compute(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe('StepClock', () => {
  it('times all steps but the first, and tells computing from waiting', async () => {
    const clock = new StepClock(new FakeDecoder(3, () => [0, 1, 2]))
    const state = await clock.start(PROMPT)
    const step = () => clock.step(state, [[1]], { candidates: 1 })
    await step()
    await setTimeout(100)
    await step()
    await setTimeout(50)
    await step()
    compute(40)
    clock.stop()
    const [waiting = 0, computing = 0, ...others] = clock.stepMs
    expect(others).toEqual([])
    expect(waiting).toBeGreaterThan(45)
    expect(computing).toBeGreaterThan(39)
    expect(clock.activeMs).toBeGreaterThan(35)
    expect(clock.totalMs - clock.activeMs).toBeGreaterThan(40)
    expect(clock.totalMs).toBeCloseTo(waiting + computing, -1)
  })

  it('passes on what it is asked', async () => {
    const decoder = new FakeDecoder(3, (past) => (past.length > 1 ? [0, 0, 9] : [0, 9, 0]))
    const clock = new StepClock(decoder)
    const state = await clock.start(PROMPT)
    expect((await clock.step(state, [[1]], { candidates: 1 }))[0]?.ids[0]).toBe(1)
    clock.reorder(state, [0, 0])
    const rows = await clock.step(state, [[1], [1]], { candidates: 1 })
    expect(rows.map(({ ids }) => ids[0])).toEqual([2, 2])
    await clock.dispose(state)
    expect(decoder.alive).toBe(0)
    await expect(clock.start(PROMPT, AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('medianOf', () => {
  it.each([
    { values: [3, 1, 20], median: 3 },
    { values: [10, 2], median: 6 },
    { values: [], median: Number.NaN },
  ])('of $values is $median', ({ values, median }) => {
    expect(medianOf(values)).toBe(median)
  })
})
