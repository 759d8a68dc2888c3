import { expect } from 'vitest'
import { type GenerationStream, type RemoteModel, startEngine } from '../../src/index.ts'
import { HOST } from './engines.ts'

const MODEL = { device: 'cpu', threads: 1 } as const
const ENDLESS = { doSample: false, eosTokenId: null, maxNewTokens: 900 } as const

/**
 * Kills an engine (SIGKILL) again and again in the middle of texts, while others wait for it: each of them must be told
 * so, and the engine must work as before once it is started again.
 * @returns milliseconds from each kill to the last error, and to the next answer
 */
export async function killEngines(count: number): Promise<{ errors: number[]; answers: number[] }> {
  await using engine = await startEngine({ in: 'process', host: HOST })
  const times: { errors: number[]; answers: number[] } = { errors: [], answers: [] }
  let expected: string | undefined
  for (let i = 0; i < count; i++) {
    const model = await engine.load('nano-qwen', MODEL)
    const waiting = [...(await busy(model, 1 + (i % 40))), engine.load('nano-chatlm', MODEL)]
    const errors = Promise.allSettled(waiting)
    const killed = performance.now()
    process.kill(engine.pid ?? Number.NaN, 'SIGKILL')
    for (const outcome of await errors) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          name: 'TandemError',
          code: 'engine-crashed',
          received: 'signal SIGKILL',
          remedy: expect.stringMatching(/out of memory.*restart/) as string,
        },
      })
    }
    times.errors.push(performance.now() - killed)
    await expect(model.generate('你好')).rejects.toMatchObject({ code: 'engine-crashed' })
    await model.dispose()

    await engine.restart()
    await using again = await engine.load('nano-qwen', MODEL)
    const { text } = await again.generate('你好', { doSample: false, maxNewTokens: 8 })
    times.answers.push(performance.now() - killed)
    expected ??= text
    expect(text).toBe(expected)
  }
  return times
}

/** Texts that are being written and other calls that wait; resolves after so many steps. */
async function busy(model: RemoteModel, steps: number): Promise<Promise<unknown>[]> {
  const waiting: Promise<unknown>[] = []
  let left = steps
  await new Promise<void>((resolve) => {
    const onStep = () => {
      left -= 1
      if (left === 0) resolve()
    }
    const stream = model.stream('你好', { ...ENDLESS, onStep })
    waiting.push(stream, read(stream), model.generate('a', ENDLESS), model.converse().send('b', ENDLESS))
  })
  return waiting
}

async function read(stream: GenerationStream): Promise<string> {
  let text = ''
  for await (const piece of stream) text += piece
  return text
}
