import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import { type ServedModel, type Settings, serve } from '../protocol.ts'

await serve(async ({ model: modelPath, threads, contextSize = 2048 }: Settings): Promise<ServedModel> => {
  const llama = await getLlama({ build: 'never', gpu: false, logLevel: LlamaLogLevel.error, maxThreads: threads })
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext({ contextSize, threads })
  const sequence = context.getSequence()
  const vocabularySize = Number(model.fileInfo.metadata.tokenizer.ggml.tokens.length)
  return {
    vocabularySize,
    async generate(sources, beams, newTokens) {
      if (beams !== 1) throw new Error('node-llama-cpp has no beam search')
      const counts: number[] = []
      for (const source of sources) {
        await sequence.clearHistory()
        let count = 0
        const tokens = source as Parameters<typeof sequence.evaluate>[0]
        for await (const _ of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
          count++
          if (count === newTokens) break
        }
        counts.push(count)
      }
      return counts
    },
  }
})
