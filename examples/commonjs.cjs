// The same from CommonJS: require() gives the whole library.
//
//   node examples/commonjs.cjs
const { load } = require('tandem-llm')

async function main() {
  const model = await load('nano-chatlm')
  const { text } = await model.generate('翻译成英文：她每天早上喝茶。')
  console.log(text)
  await model.dispose()
}

main()
