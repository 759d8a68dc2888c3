import { MessageChannel } from 'node:worker_threads'
import { expectTypeOf, test } from 'vitest'
import {
  connectEngine,
  type GenerativeModel,
  type LanguageModel,
  load,
  type RemoteModel,
  serveEngine,
  startEngine,
} from '../../src/index.ts'
import { HOST } from './engines.ts'
import { describeGenerativeModel } from './model-cases.ts'

describeGenerativeModel('this process', async () => ({ load, dispose: async () => undefined }))
describeGenerativeModel('a worker thread', () => startEngine({ in: 'worker', host: HOST }))
describeGenerativeModel('a child process', () => startEngine({ in: 'process', host: HOST }))
describeGenerativeModel('whatever serves a port', () => {
  const { port1, port2 } = new MessageChannel()
  serveEngine(port2)
  return connectEngine(() => port1)
})

test('a model has the same calls wherever it is', () => {
  expectTypeOf<LanguageModel>().toExtend<GenerativeModel>()
  expectTypeOf<RemoteModel>().toExtend<GenerativeModel>()
  for (const call of ['generate', 'stream', 'chat', 'converse', 'encode', 'tokenize'] as const) {
    expectTypeOf<RemoteModel[typeof call]>().toEqualTypeOf<LanguageModel[typeof call]>()
  }
  expectTypeOf<Awaited<ReturnType<RemoteModel['resolve']>>>().toEqualTypeOf<ReturnType<LanguageModel['resolve']>>()
})
