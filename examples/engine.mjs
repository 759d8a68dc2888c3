// A model in a process of its own: when that process dies, your program gets an error and starts it again.
//
//   node examples/engine.mjs
import { startEngine, TandemError } from 'tandem-llm'

const engine = await startEngine({ in: 'process' })
let model = await engine.load('nano-qwen')

/** Answers, and tries once more with a new engine if the old one has died. */
async function answer(text) {
  try {
    return (await model.chat(text, { maxNewTokens: 64 })).text
  } catch (error) {
    if (!(error instanceof TandemError) || error.code !== 'engine-crashed') throw error
    console.log(`${error.code}: ${error.received}`)
    await engine.restart() // an engine that has died holds no models any more
    model = await engine.load('nano-qwen')
    return (await model.chat(text, { maxNewTokens: 64 })).text
  }
}

console.log(await answer('你是谁?'))
process.kill(engine.pid, 'SIGKILL') // what a driver, or a system without memory, may do at any time
console.log(await answer('中国的首都是哪里?'))
await engine.dispose()
