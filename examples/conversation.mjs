// Several turns: each one reads only what is new in it, and when the context is full the oldest turns go.
// (nano-qwen has learnt single questions only: its later answers show the way, not the wit. Try it with a real model.)
//
//   node examples/conversation.mjs [MODEL]
import { load } from 'tandem-llm'

const model = await load(process.argv[2] ?? 'nano-qwen')
const conversation = model.converse({
  system: '你是一个助手。', // stays when old turns go
  onForget: (messages) => console.log(`(forgot ${messages.length} messages)`),
})

for (const text of ['你好', '中国的首都是哪里?', '谢谢']) {
  console.log(`user: ${text}`)
  process.stdout.write('assistant: ')
  for await (const piece of conversation.send(text, { maxNewTokens: 64 })) process.stdout.write(piece)
  process.stdout.write('\n')
}

// The messages are plain data. Keep them in a file, and give them to converse({ messages }) another day.
console.log(JSON.stringify(conversation.messages))
await conversation.dispose()
await model.dispose()
