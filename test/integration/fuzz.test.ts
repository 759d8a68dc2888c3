import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../scripts/fuzz/random.ts'
import type { FuzzTarget } from '../../scripts/fuzz/target.ts'
import { openTarget, TARGET_NAMES, type TargetName } from '../../scripts/fuzz/targets.ts'

// The first seeds of scripts/fuzz. What panics or aborts ends the process of this file; `npm run fuzz` runs for longer.

const SEEDS: Readonly<Record<TargetName, number>> = {
  safetensors: 3000,
  gguf: 2000,
  tokenizer: 1000,
  'chat-template': 150,
  model: 40,
}

describe.each(TARGET_NAMES)('broken input for the reader of: %s', (name) => {
  let target: FuzzTarget
  beforeAll(async () => {
    target = await openTarget(name)
  })
  afterAll(() => target.close?.())

  it('is refused in our words, or accepted for a reason', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < SEEDS[name]; seed++) {
      try {
        outcomes.add(await target.run(new Random(seed)))
      } catch (cause) {
        throw new Error(`Seed ${seed} of ${name}`, { cause })
      }
    }
    expect([...outcomes]).toEqual(expect.arrayContaining(['accepted', 'invalid-file']))
  })
})
