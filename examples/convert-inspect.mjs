// Converts a model folder to one GGUF file, looks at what it is without loading it, and runs it.
//
//   node examples/convert-inspect.mjs [FOLDER] [OUTPUT.gguf] [TYPE]
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { convert, inspect, load } from 'tandem-llm'

const embedded = fileURLToPath(new URL('../models/nano-qwen', import.meta.url))
const [folder = embedded, path, quantization = 'q5_k_m'] = process.argv.slice(2)
const output = path ?? join(await mkdtemp(join(tmpdir(), 'tandem-example-')), 'model.gguf')

const report = await convert(folder, {
  output,
  quantization,
  onProgress: ({ done, total }) => process.stderr.write(`\r${Math.round((done / total) * 100)} % `),
})
process.stderr.write('\n')
console.log(`${report.output}: ${report.architecture}, ${report.parameters} parameters, ${report.bytes} bytes`)
for (const { tensor, wanted, type } of report.fallbacks) console.log(`  ${tensor}: ${type} instead of ${wanted}`)

// Tables only: this takes as long for a file of 100 GB.
const { kind, quantization: type, tokenizer, memory } = await inspect(output)
console.log(`${kind}, ${type}, ${tokenizer.vocabularySize} tokens (${tokenizer.model})`)
console.log(`memory: ${memory.total} bytes`)

const model = await load(output)
const { text } = await model.chat('中国的首都是哪里?')
console.log(`answer: ${text}`)
await model.dispose()
