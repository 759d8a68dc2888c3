// Three ways to end a text early: leave the loop, abort by a signal, or give it a time.
//
//   node examples/abort.mjs
import { load, TandemError } from 'tandem-llm'

const model = await load('nano-qwen')
const endless = { eosTokenId: null, maxNewTokens: 900 } // without an end token, so that there is something to abort

// Leaving the loop is no error: the result is what there was.
const left = model.stream('从前有一座山', endless)
let pieces = 0
for await (const _ of left) if (++pieces === 5) break
const { finishReason, ids } = await left
console.log(`left: ${finishReason}, ${ids.length} tokens`)

// A signal is one: the call rejects with the code 'aborted', and your reason is its cause.
const controller = new AbortController()
try {
  const generation = model.generate('从前有一座山', { ...endless, signal: controller.signal })
  controller.abort(new Error('the reader has gone'))
  await generation
} catch (error) {
  if (!(error instanceof TandemError) || error.code !== 'aborted') throw error
  console.log(`signal: ${error.code}, because ${error.cause.message}`)
}

// maxTime, in seconds, is an option of transformers: the text so far is a normal result.
const timed = await model.generate('从前有一座山', { ...endless, maxTime: 0.01 })
console.log(`time: ${timed.finishReason}, fewer than 900 tokens: ${timed.ids.length < 900}`)

// The model is as good as new after each of them.
console.log(`after: ${(await model.chat('你是谁?')).text}`)
await model.dispose()
