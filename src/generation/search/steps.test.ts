import { describe, expect, it } from 'vitest'
import { FakeDecoder, scattered } from '../../../test/generation/fake-decoder.ts'
import type { GenerationOptions } from '../options.ts'
import { resolveGeneration } from '../resolve.ts'
import { SEARCHES } from './searches.ts'

const SIZE = 24
const MODES: Record<string, GenerationOptions> = {
  'greedy search': {},
  sampling: { doSample: true, seed: 7 },
  'several samples': { doSample: true, seed: 7, numReturnSequences: 2 },
  'beam search': { numBeams: 3 },
}

interface Run {
  /** The first step that fails. */
  failing?: number
  signal?: AbortSignal
  isWanted?: () => boolean
}

function run(mode: GenerationOptions, { failing = Number.POSITIVE_INFINITY, signal, isWanted = () => true }: Run = {}) {
  const rule = scattered(SIZE)
  const decoder = new FakeDecoder(SIZE, (past, prompt) => {
    if (decoder.steps >= failing) throw new Error('no memory')
    return rule(past, prompt)
  })
  const config = resolveGeneration({ call: { maxNewTokens: 6, minNewTokens: 6, ...mode } as GenerationOptions })
  const prompt = { inputIds: [3, 4], attentionMask: [1, 1] }
  return { decoder, search: SEARCHES[config.mode](decoder, { prompt, config, isWanted }, signal) }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 5))

describe.each(Object.entries(MODES))('%s', (name, mode) => {
  const isSeveral = name === 'several samples'
  const perStep = isSeveral ? 2 : 1
  /** Several samples share a step that reads their prompt. */
  const promptSteps = isSeveral ? 1 : 0

  it('computes one step ahead of whoever looks at the last one', async () => {
    const { decoder, search } = run(mode)
    await search.next()
    for (let i = 0; i < 2; i++) {
      await pause()
      expect(decoder.steps).toBe(promptSteps + 2)
    }
    await search.return([])
  })

  it('waits for whoever is told where functions of theirs decide about tokens', async () => {
    const seen: string[] = []
    const prefixAllowedTokensFn = () => {
      seen.push('asked')
      return [5, 6, 7]
    }
    const { search } = run({ ...mode, prefixAllowedTokensFn } as GenerationOptions)
    while ((await search.next()).done !== true) {
      seen.push('told')
      await pause()
    }
    // Every text or beam is asked for anew before a step, and told of after it.
    const steps = seen.join(' ').split(/(?<=told) (?=asked)/)
    expect(steps).toHaveLength(6)
    for (const step of steps) expect(step).toMatch(/^(asked ?)+(told ?)+$/)
  })

  it('begins no step that nobody wants', async () => {
    let isWanted = true
    const { decoder, search } = run(mode, { isWanted: () => isWanted })
    await search.next()
    await pause()
    isWanted = false
    for (let i = 0; i < perStep; i++) await search.next()
    await pause()
    expect(decoder.steps).toBe(promptSteps + 2)
    await search.return([])
    expect(decoder.alive).toBe(0)
  })

  it('begins no step behind the last', async () => {
    const { decoder, search } = run(mode)
    let events = 0
    while ((await search.next()).done !== true) events++
    expect(events).toBe(6 * perStep)
    expect([decoder.steps, decoder.alive]).toEqual([6 + promptSteps, 0])
  })

  it('tells what was found before a step fails, and then fails', async () => {
    const { decoder, search } = run(mode, { failing: 4 + promptSteps })
    let events = 0
    await expect(
      (async () => {
        while ((await search.next()).done !== true) {
          events++
          await pause()
        }
      })(),
    ).rejects.toThrow('no memory')
    expect(events).toBe(3 * perStep)
    expect(decoder.alive).toBe(0)
  })

  it('frees the state of a reader who leaves, also when the step that he does not wait for fails', async () => {
    for (const failing of [100, 2 + promptSteps]) {
      const { decoder, search } = run(mode, { failing })
      await search.next()
      await pause()
      expect(await search.return([])).toEqual({ done: true, value: [] })
      expect(decoder.alive).toBe(0)
    }
  })

  it('tells nothing more once it is aborted, though the step has been computed', async () => {
    const controller = new AbortController()
    const { decoder, search } = run(mode, { signal: controller.signal })
    for (let i = 0; i < perStep; i++) await search.next()
    await pause()
    controller.abort('enough')
    await expect(search.next()).rejects.toMatchObject({ code: 'aborted', cause: 'enough' })
    expect(decoder.alive).toBe(0)
  })
})
