// Many requests at once on one model: each gets the answer that it would get alone.
//
//   node examples/many-requests.mjs
import { load } from 'tandem-llm'

const questions = ['你是谁?', '天空是什么颜色?', '一年有几个月?', '中国的首都是哪里?', 'What is the capital of France?']

const model = await load('nano-qwen')
const ask = async (question) => (await model.chat(question, { maxNewTokens: 64 })).text

// Begin as many as you like: they share the model's thread, and their steps take turns.
const answers = await Promise.all(questions.map(ask))
for (const [i, question] of questions.entries()) console.log(`${question} → ${answers[i]}`)

// One that fails is its own affair.
const outcomes = await Promise.allSettled([ask('你好'), model.generate([]), ask('谢谢')])
console.log(outcomes.map(({ status, reason }) => reason?.code ?? status).join(', '))
await model.dispose()
