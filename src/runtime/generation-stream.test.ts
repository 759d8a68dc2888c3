import { describe, expect, it } from 'vitest'
import { FakeDecoder, script } from '../../test/generation/fake-decoder.ts'
import { byteLevel } from '../../test/tokenizer/small-tokenizers.ts'
import { TandemError } from '../errors.ts'
import { resolveGeneration } from '../generation/resolve.ts'
import { Tokenizer } from '../tokenizer/tokenizer.ts'
import { GenerationRun } from './generation-run.ts'
import { type GenerationStream, startStream } from './generation-stream.ts'

const tokenizer = new Tokenizer(byteLevel)
const SIZE = 259
const END = 257

/** A model that says this text and then ends. */
function saying(text: string): FakeDecoder {
  return new FakeDecoder(SIZE, script([...Buffer.from(text), END], SIZE), 0)
}

function stream(decoder: FakeDecoder, signal?: AbortSignal, prepare?: () => Promise<never>): GenerationStream {
  const request = {
    prompt: { inputIds: [1, 2], attentionMask: [1, 1] },
    text: 'a',
    config: resolveGeneration({ call: { maxNewTokens: 50, eosTokenId: END } }),
  }
  const environment = { decoder, tokenizer, readsPromptInFirstStep: false, loadMs: 5 }
  return startStream(new GenerationRun(environment, prepare ?? (async () => request), { signal }))
}

describe('a stream', () => {
  it('gives pieces to a loop and the result to await, in any order', async () => {
    const decoder = saying('a你b')
    const both = stream(decoder)
    const pieces: string[] = []
    for await (const piece of both) pieces.push(piece)
    expect(pieces).toEqual(['a', '你', 'b'])
    const result = await both
    expect(result).toMatchObject({
      text: 'a你b',
      ids: [0x61, 0xe4, 0xbd, 0xa0, 0x62, END],
      finishReason: 'eos',
      score: null,
      prompt: 'a',
      inputIds: [1, 2],
      usage: { inputTokens: 2, outputTokens: 6 },
    })
    expect(result.timings).toMatchObject({ loadMs: 5, steps: 6 })
    expect(await both).toEqual(result)

    const late = stream(decoder)
    await late
    const again: string[] = []
    for await (const piece of late) again.push(piece)
    expect(again.join('')).toBe('a你b')
    expect(decoder.alive).toBe(0)
  })

  it('serves several readers', async () => {
    const shared = stream(saying('abc'))
    const read = async () => {
      let text = ''
      for await (const piece of shared) text += piece
      return text
    }
    expect(await Promise.all([read(), read()])).toEqual(['abc', 'abc'])
  })

  it('ends when the loop is left, with what there was', async () => {
    const decoder = saying('abcdefghij')
    const left = stream(decoder)
    for await (const piece of left) {
      expect(piece).toBe('a')
      break
    }
    const { finishReason, ids } = await left
    expect(finishReason).toBe('abort')
    expect(ids.length).toBeLessThan(11)
    expect(decoder.alive).toBe(0)
  })

  it('rejects when its signal says so, in the loop and for await', async () => {
    const decoder = saying('abcdefghij')
    const controller = new AbortController()
    const aborted = stream(decoder, controller.signal)
    const read = async () => {
      for await (const _ of aborted) controller.abort()
    }
    await expect(read()).rejects.toMatchObject({ code: 'aborted' })
    await expect(aborted).rejects.toMatchObject({ code: 'aborted' })
    expect(decoder.alive).toBe(0)
  })

  it('does not end the process when nobody looks at its error', async () => {
    const failure = new TandemError('invalid-argument', 'No')
    const failed = stream(saying('a'), undefined, () => Promise.reject(failure))
    await new Promise((resolve) => setTimeout(resolve, 5))
    await expect(failed).rejects.toBe(failure)
  })
})
