// Every step of a search: the beams that still go on and those that have ended, then the tokens of a greedy text.
//
//   node examples/steps.mjs
import { load } from 'tandem-llm'

const model = await load('nano-chatlm')
const prompt = '请把下面的话翻译为英语:我喜欢喝茶。'

let step = 0
const best = await model.generate(prompt, {
  numBeams: 3,
  onStep: ({ running, finished }) => {
    console.log(`step ${++step}`)
    for (const { score, text } of running) console.log(`  … ${score.toFixed(3)} ${text}`)
    for (const { score, text } of finished) console.log(`  ✓ ${score.toFixed(3)} ${text}`)
  },
})
console.log(`best: ${best.text}`)

// Without beams each step is one token that stays. A rule of your own may change the scores before one is chosen.
const tea = (await model.tokenizer.encode(best.text)).inputIds
await model.generate(prompt, {
  logitsProcessor: (ids, scores) => {
    if (ids.length === 1) scores[tea[0]] = -Infinity // another beginning than the best text's
  },
  onStep: ({ token }) => console.log(`token ${token} ${model.tokenizer.tokens([token])}`),
})
await model.dispose()
