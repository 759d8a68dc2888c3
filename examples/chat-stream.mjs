// A chat model's answer as it is being written: the pieces first, then the whole result with its counts.
//
//   node examples/chat-stream.mjs
//   node examples/chat-stream.mjs '中国的首都是哪里?'
import { load } from 'tandem-llm'

const question = process.argv[2] ?? '你是谁?'
const model = await load('nano-qwen') // or '/models/Qwen2.5-0.5B-Instruct'

// A text is the only message; for more, give a list of { role, content }. model.stream() is the same for any input.
const stream = model.chat(question)
for await (const piece of stream) process.stdout.write(piece) // whole characters only, also in Chinese
process.stdout.write('\n')

// The same stream can be awaited: before, after or instead of the loop.
const { ids, finishReason, usage } = await stream
console.log(`ids: ${ids.join(' ')}`)
console.log(`${usage.inputTokens} tokens read, ${usage.outputTokens} written, ended by ${finishReason}`)
await model.dispose()
