import { once } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { connectEngine, serveEngine, TandemError } from '../../src/index.ts'
import {
  type HostMessage,
  type PortableError,
  PROTOCOL_VERSION,
  portableError,
  revivedError,
} from '../../src/remote/protocol.ts'

describe('an error on its way', () => {
  it.each([
    new TandemError('invalid-file', 'Bad header', { expected: 'GGUF', received: 'a\nb', remedy: 'Convert it again' }),
    new TandemError('io', 'x'.repeat(5_000), { received: 'y'.repeat(5_000) }),
    new TandemError('aborted', 'Gone', { cause: new Error('why') }),
  ])('comes out as it went in: %#', (error) => {
    const revived = revivedError(structuredClone(portableError(error)))
    for (const field of ['name', 'code', 'message', 'problem', 'expected', 'received', 'remedy'] as const) {
      expect(revived[field]).toBe(error[field])
    }
    expect(revived).toBeInstanceOf(TandemError)
    expect(revived.cause).toBeUndefined()
  })

  it.each([new RangeError('Invalid array length'), 'a text', undefined])(
    'that is none of ours is a defect: %s',
    (error) => {
      expect(revivedError(structuredClone(portableError(error)))).toMatchObject({
        code: 'compute-failed',
        received: error instanceof Error ? 'RangeError: Invalid array length' : expect.stringMatching(/text|undefined/),
      })
    },
  )
})

describe('a host', () => {
  let port: MessagePort
  let served: Promise<void>
  beforeEach(async () => {
    const { port1, port2 } = new MessageChannel()
    port = port1
    served = serveEngine(port2)
    expect(await next()).toEqual({ kind: 'hello', version: PROTOCOL_VERSION })
  })
  afterEach(async () => {
    port.postMessage({ kind: 'close' })
    await served
    port.close()
  })

  async function next(): Promise<HostMessage> {
    const [message] = (await once(port, 'message')) as [HostMessage]
    return message
  }
  /** The last message of the call that the request makes, or the error that belongs to none. */
  async function ask(request: unknown): Promise<HostMessage> {
    port.postMessage(request)
    for (;;) {
      const message = await next()
      if (message.kind === 'answer' || message.kind === 'error') return message
    }
  }
  const loadRequest = (call: number) => {
    const options = { device: 'cpu', threads: 1 }
    return { kind: 'load', call, name: 'nano-qwen', options, progress: false }
  }

  it.each([
    [42, null],
    [null, null],
    ['close', null],
    [[], null],
    [{}, null],
    [{ kind: 'generate' }, null],
    [{ kind: 'generate', call: 'one' }, null],
    [{ kind: 'abort' }, null],
    [{ call: 5 }, 5],
    [{ kind: 'fly', call: 5 }, 5],
    [{ kind: 'constructor', call: 5 }, 5],
    [{ kind: 'hello', call: 5, version: 1 }, 5],
    [new Map([['kind', 'load']]), null],
  ])('answers %j with an error', async (garbage, call) => {
    expect(await ask(garbage)).toMatchObject({ kind: 'error', call, error: { code: 'invalid-argument' } })
  })

  it.each<[object, string]>([
    [{ kind: 'load' }, 'invalid-argument'],
    [{ kind: 'load', name: {}, options: {} }, 'invalid-argument'],
    [{ kind: 'load', name: 'nano-qwen', options: 'fast' }, 'invalid-argument'],
    [{ kind: 'load', name: 'nano-qwen', options: { signal: {} } }, 'invalid-argument'],
    [{ kind: 'generate', model: 1 }, 'invalid-argument'],
    [{ kind: 'generate', model: 1, options: [] }, 'invalid-argument'],
    [{ kind: 'generate', model: 1, options: {}, input: undefined }, 'invalid-argument'],
    [{ kind: 'generate', model: 1, options: { __proto__: null, maxNewTokens: 'x' }, input: 'a' }, 'invalid-argument'],
    [{ kind: 'generate', model: 99, options: {}, input: 'a' }, 'disposed'],
    [{ kind: 'generate', options: {}, input: 'a' }, 'disposed'],
    [{ kind: 'encode', model: 1, input: 5, options: {} }, 'invalid-argument'],
    [{ kind: 'encode', model: 1, input: 'a', options: null }, 'invalid-argument'],
    [{ kind: 'encodeText', model: 1, text: 5 }, 'invalid-argument'],
    [{ kind: 'decode', model: 1, ids: [0.5] }, 'invalid-argument'],
    [{ kind: 'decode', model: 1, ids: 'abc' }, 'compute-failed'],
    [{ kind: 'resolve', model: 1, options: { maxNewTokens: -1 } }, 'invalid-argument'],
    [{ kind: 'tokens', model: 1 }, 'compute-failed'],
    [{ kind: 'encodeBatch', model: 1, texts: 5 }, 'compute-failed'],
  ])('answers %j with %s, and works on', async (request, code) => {
    expect(await ask(loadRequest(1))).toMatchObject({ kind: 'answer', call: 1, value: { model: 1 } })
    port.postMessage({ kind: 'abort', call: 77 })
    port.postMessage({ kind: 'leave', call: 77 })
    expect(await ask({ ...request, call: 2 })).toMatchObject({ kind: 'error', call: 2, error: { code } })
    const text = { kind: 'decode', call: 3, model: 1, ids: [11], options: {} }
    expect(await ask(text)).toMatchObject({ kind: 'answer', call: 3, value: expect.any(String) as string })
  })

  it('sends pieces and steps only where they are wanted', async () => {
    await ask(loadRequest(1))
    const request = { kind: 'generate', call: 2, model: 1, input: 'a', options: { maxNewTokens: 3, eosTokenId: null } }
    const kinds = async (wanted: object) => {
      port.postMessage({ ...request, ...wanted })
      const told: string[] = []
      for (;;) {
        const { kind } = await next()
        if (kind === 'answer') return new Set(told)
        told.push(kind)
      }
    }
    expect(await kinds({ pieces: false, steps: false })).toEqual(new Set())
    expect(await kinds({ pieces: false, steps: true })).toEqual(new Set(['step']))
    expect(await kinds({ pieces: true, steps: false })).toEqual(new Set(['piece']))
  })

  it('frees its models when its client is gone', async () => {
    await ask(loadRequest(1))
    port.postMessage({
      kind: 'generate',
      call: 2,
      model: 1,
      input: 'a',
      options: { maxNewTokens: 900, eosTokenId: null },
    })
    port.close()
    await served
  })
})

describe('a port as Electron has it', () => {
  /** `MessagePortMain` is an emitter of events that hold the message; it waits for `start`. */
  const electronPort = (port: MessagePort) => ({
    postMessage: (message: unknown) => port.postMessage(message),
    on: (name: string, listener: (event: { data?: unknown }) => void) => {
      port.on(name, (data: unknown) => listener({ data }))
    },
    start: () => port.start(),
    close: () => port.close(),
  })

  it('carries an engine', async () => {
    const { port1, port2 } = new MessageChannel()
    const served = serveEngine(electronPort(port2))
    const engine = await connectEngine(() => electronPort(port1))
    const model = await engine.load('nano-qwen', { device: 'cpu', threads: 1 })
    const stream = model.stream('a', { maxNewTokens: 5, eosTokenId: null, doSample: false })
    let text = ''
    for await (const piece of stream) text += piece
    expect((await stream).text).toBe(text)
    const waiting = expect(model.generate('a', { maxNewTokens: 900, eosTokenId: null })).rejects.toMatchObject({
      code: 'disposed',
    })
    await engine.dispose()
    await waiting
    await served
  })
})

describe('a client', () => {
  const hello = { kind: 'hello', version: PROTOCOL_VERSION }
  let port: MessagePort
  /** An engine whose host is this test. */
  async function engine(greeting: unknown = hello) {
    const { port1, port2 } = new MessageChannel()
    port = port2
    port.postMessage(greeting)
    return connectEngine(() => port1)
  }
  const description = {
    model: 1,
    kind: 'decoder-only',
    device: 'CPU',
    contextSize: 10,
    loadMs: 1,
    tokenizer: { vocabularySize: 5, specialTokens: {} },
  }
  const error: PortableError = {
    code: 'io',
    problem: 'Bad',
    expected: undefined,
    received: undefined,
    remedy: undefined,
  }

  it('goes no further with a host of another version', async () => {
    const attempt = engine({ kind: 'hello', version: PROTOCOL_VERSION + 1 })
    await expect(attempt).rejects.toMatchObject({ code: 'library-mismatch', received: String(PROTOCOL_VERSION + 1) })
  })

  it('gives up a host that does not speak', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const attempt = expect(engine({ kind: 'nothing' })).rejects.toMatchObject({ code: 'engine-crashed' })
      await vi.advanceTimersByTimeAsync(60_000)
      await attempt
    } finally {
      vi.useRealTimers()
    }
  })

  it('does not mind what others say on the channel, nor answers that nobody waits for', async () => {
    const connected = await engine()
    const loading = connected.load('x')
    const noise = [42, null, 'text', [], {}, { kind: 5 }, { 'watch:import': ['file:///a'] }, { kind: 'constructor' }]
    const stray = [
      { kind: 'answer', call: 99, value: 1 },
      { kind: 'error', call: null, error },
      { kind: 'piece', call: 1, piece: 'early' },
    ]
    for (const message of [...noise, ...stray, { kind: 'answer', call: 1, value: description }])
      port.postMessage(message)
    expect(await loading).toMatchObject({ device: 'CPU', contextSize: 10 })
    await connected.dispose()
  })

  it.each([
    { kind: 'answer' },
    { kind: 'answer', call: 'one' },
    { kind: 'piece', call: 1, piece: 5 },
    { kind: 'step', call: 1 },
    { kind: 'progress', call: 1, progress: null },
    { kind: 'error', call: 1 },
    { kind: 'error', call: 1, error: { code: 5 } },
    { kind: 'hello' },
  ])('ends the connection for %j, and all that wait are told', async (message) => {
    const connected = await engine()
    const waiting = [connected.load('x'), connected.load('y')]
    const ended = Promise.allSettled(waiting)
    port.postMessage(message)
    for (const one of await ended) {
      expect(one).toMatchObject({
        status: 'rejected',
        reason: { name: 'TandemError', code: 'engine-crashed', received: expect.stringMatching(/kind/) as string },
      })
    }
    await expect(connected.load('z')).rejects.toMatchObject({ code: 'engine-crashed' })
    await connected.dispose()
  })

  it('is told when the other side closes the port, and may be given another', async () => {
    const ports: MessagePort[] = []
    const connected = await connectEngine(() => {
      const { port1, port2 } = new MessageChannel()
      ports.push(port2)
      port2.postMessage(hello)
      return port1
    })
    const waiting = connected.load('x')
    ports[0]?.close()
    await expect(waiting).rejects.toMatchObject({ code: 'engine-crashed', received: 'a closed port' })
    await connected.restart()
    ports[1]?.on('message', ({ call }: { call: number }) =>
      ports[1]?.postMessage({ kind: 'answer', call, value: description }),
    )
    expect((await connected.load('x')).device).toBe('CPU')
    await connected.dispose()
  })

  it('refuses what cannot be sent, and works on', async () => {
    const connected = await engine()
    port.on('message', ({ call, kind }: { call: number; kind: string }) => {
      port.postMessage({ kind: 'answer', call, value: kind === 'load' ? description : 'text' })
    })
    const model = await connected.load('x')
    for (const name of ['logitsProcessor', 'prefixAllowedTokensFn']) {
      for (const value of [() => [1], [() => [1]]]) {
        const refused = { code: 'unsupported-option', message: expect.stringContaining(name) as string }
        await expect(model.generate('a', { [name]: value } as never)).rejects.toMatchObject(refused)
        await expect(model.stream('a', { [name]: value } as never)).rejects.toMatchObject(refused)
        await expect(model.converse().send('a', { [name]: value } as never)).rejects.toMatchObject(refused)
      }
      await expect(model.generate('a', { [name]: null } as never)).resolves.toBeDefined()
    }
    const hostile: unknown[] = [Symbol('a'), { inputIds: () => 1 }, [{ role: 'user', content: 'a', f: () => 1 }]]
    for (const input of hostile) {
      await expect(model.generate(input as never)).rejects.toMatchObject({ code: 'invalid-argument' })
    }
    await expect(connected.load('x', { generationConfig: { a: () => 1 } })).rejects.toMatchObject({
      code: 'invalid-argument',
    })
    expect(await model.tokenizer.decode([1])).toBe('text')
    await connected.dispose()
  })
})
