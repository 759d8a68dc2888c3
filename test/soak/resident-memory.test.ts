import { describe, expect, test } from 'vitest'
import { LOAD_AND_DISPOSE, residentMemory, SHORT_GENERATION } from '../integration/resident-memory.ts'

/** MiB that may be there at the end and were not at the beginning. */
const GROWTH = 5

describe.each(['nano-chatlm', 'nano-qwen'])('resident memory of %s', (model) => {
  test('10,000 short generations', async () => {
    const [before, after] = await residentMemory({ model, round: SHORT_GENERATION, counts: [2_000, 10_000] })
    console.log(`${model}: ${before.toFixed(1)} MiB after 2,000 generations, ${after.toFixed(1)} after 10,000`)
    expect(after).toBeLessThanOrEqual(before + GROWTH)
  })

  test('200 times loaded and disposed of', async () => {
    const [before, after] = await residentMemory({ model, round: LOAD_AND_DISPOSE, counts: [40, 200] })
    console.log(`${model}: ${before.toFixed(1)} MiB after 40 loads, ${after.toFixed(1)} after 200`)
    expect(after).toBeLessThanOrEqual(before + GROWTH)
  })
})
