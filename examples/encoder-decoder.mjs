// Translates and answers with an encoder-decoder: greedily, then with beams, as ChatLM's authors do.
//
//   node examples/encoder-decoder.mjs
//   node examples/encoder-decoder.mjs '请把下面的话翻译为英语:我的朋友每天喝茶。'
import { load } from 'tandem-llm'

const prompts = process.argv.length > 2 ? process.argv.slice(2) : ['请把下面的话翻译为英语:你好吗?', '天空是什么颜色?']

const model = await load('nano-chatlm') // or the path of a T5 folder, or of a GGUF file
for (const prompt of prompts) {
  const { text } = await model.generate(prompt)
  console.log(`${prompt} → ${text}`)

  // Five beams are kept, of which the best three come back; no four tokens may appear twice in one text. ChatLM's own
  // program ends every prompt with [EOS], which its tokenizer does not: appendEos does as it does.
  const beams = await model.generate(prompt, {
    numBeams: 5,
    numReturnSequences: 3,
    noRepeatNgramSize: 4,
    appendEos: true,
  })
  for (const { score, text } of beams.sequences) console.log(`  ${score.toFixed(3)} ${text}`)
}
await model.dispose()
