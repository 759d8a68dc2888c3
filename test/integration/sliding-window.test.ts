import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readGguf } from '../../src/formats/gguf/read.ts'
import { CausalDecoder } from '../../src/generation/causal.ts'
import type { Decoder, DecoderState } from '../../src/generation/decoder.ts'
import { KeptPastDecoder } from '../../src/generation/kept-past.ts'
import { type Engine, openEngine } from '../../src/native/model.ts'
import { prompt } from './tiny-models.ts'

const MODEL = fileURLToPath(new URL('../golden/foreign/tiny-gemma3.gguf', import.meta.url))
const WINDOW = 16
const LOGITS = { candidates: 1, logits: true }

/** Some ids of the model's 470, the same for the same seed. */
const text = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => 260 + ((i * 7 + seed * 13 + ((i * i) % 11)) % 200))

describe('a model with a sliding window', () => {
  let engine: Engine
  let decoder: CausalDecoder
  beforeAll(async () => {
    const file = await readGguf(MODEL)
    expect(file.metadata.get('gemma3.attention.sliding_window')?.value).toBe(WINDOW)
    engine = await openEngine(file, MODEL, { device: 'cpu', threads: 1, contextSize: 256, maxSequences: 4 })
    decoder = new CausalDecoder(engine)
  })
  afterAll(() => engine?.dispose())

  async function read<State extends DecoderState>(by: Decoder<State>, ids: readonly number[]): Promise<Float32Array> {
    const state = await by.start(prompt(...ids))
    const [row] = await by.step(state, [state.promptIds], LOGITS)
    await by.dispose(state)
    return row?.logits ?? new Float32Array()
  }

  /** Tokens of another text, one by one, in cells that are free and in cells behind the windows of others. */
  async function writeElsewhere(count: number): Promise<void> {
    const state = await decoder.start(prompt(...text(1, 3)))
    for (const token of text(count, 3)) await decoder.step(state, [[token]], LOGITS)
    await decoder.dispose(state)
  }

  test.each([
    ['within the window before the end', 55],
    ['behind the window', 30],
    ['to the first tokens', 3],
    ['nowhere', 60],
  ])('goes back %s as if all were read anew, whatever other texts wrote meanwhile', async (_, length) => {
    const kept = new KeptPastDecoder(decoder)
    const first = text(60, 2)
    const before = await decoder.start(prompt(...text(20, 1)))
    await decoder.step(before, [before.promptIds], LOGITS)
    await read(kept, first)
    await decoder.dispose(before)
    await writeElsewhere(60)
    const second = [...first.slice(0, length), 300, 301]
    const actual = await read(kept, second)
    await kept.release()
    const expected = await read(decoder, second)
    expect(expected).toHaveLength(470)
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - (actual[i] ?? Number.NaN))))
    expect(worst).toBeLessThan(1e-4)
  })

  test('says so where nobody can read it anew', async () => {
    const before = await decoder.start(prompt(...text(20, 1)))
    await decoder.step(before, [before.promptIds], LOGITS)
    const state = await decoder.start(prompt(...text(60, 2)))
    await decoder.step(state, [state.promptIds], LOGITS)
    await decoder.dispose(before)
    await writeElsewhere(60)
    state.pasts = state.pasts.map((past) => ({ ...past, length: 30 }))
    const back = decoder.step(state, [[300]], LOGITS)
    await expect(back).rejects.toMatchObject({
      code: 'unsupported-option',
      message: expect.stringContaining('sliding window'),
    })
    await decoder.dispose(state)
  })
})
