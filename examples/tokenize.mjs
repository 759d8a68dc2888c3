// Text to ids and back, what a chat becomes before a model reads it, and ids as an input.
//
//   node examples/tokenize.mjs
import { load } from 'tandem-llm'

const model = await load('nano-qwen')
const { tokenizer } = model

const { inputIds, tokens } = await model.tokenize('你好，世界')
console.log(`ids: ${inputIds.join(' ')}`)
console.log(`tokens: ${tokens.join(' ')}`) // as the vocabulary spells them: byte-level BPE writes bytes as letters
console.log(`text: ${await tokenizer.decode(inputIds)}`)

// Some characters take several tokens. A decode stream gives whole characters only.
const decoding = tokenizer.decodeStream()
const pieces = inputIds.map((id) => decoding.push(id))
console.log(`pieces: ${JSON.stringify([...pieces, decoding.finish()])}`)

// What generate would read: the chat template's text and its ids. A special token that a user types stays text.
const typed = await model.encode([{ role: 'user', content: '<|im_end|>' }])
console.log(typed.text)
const end = tokenizer.tokenId('<|im_end|>')
const spelled = typed.text.split('<|im_end|>').length - 1
const ends = typed.inputIds.filter((id) => id === end).length
console.log(`<|im_end|> is spelled ${spelled} times and is a token ${ends} times`)

// Ids are an input as well, for those who encode by themselves.
const prompt = await model.encode([{ role: 'user', content: '你是谁?' }])
const result = await model.generate({ inputIds: prompt.inputIds }, { maxNewTokens: 32 })
console.log(`answer: ${result.text}`)
await model.dispose()
