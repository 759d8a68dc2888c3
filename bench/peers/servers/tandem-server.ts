import type * as Tandem from '../../../src/index.ts'
import { distUrl } from '../project-root.ts'
import { type ServedModel, type Settings, serve } from '../protocol.ts'

/** Sources of a batch that are under way at once. */
const SIDE_BY_SIDE = 12

// Before the first answer, which says that the library is there: loading a model does not include it, for no peer.
const { load } = (await import(distUrl('index.js'))) as typeof Tandem

await serve(async ({ model, threads, contextSize }: Settings): Promise<ServedModel> => {
  const loaded = await load(model, {
    device: 'cpu',
    threads,
    modelDefaults: false,
    ...(contextSize === undefined ? {} : { contextSize }),
  })
  return {
    vocabularySize: loaded.decoder.vocabularySize,
    async generate(sources, numBeams, maxNewTokens) {
      const counts: number[] = []
      const waiting = [...sources.entries()]
      const work = async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const [i, inputIds] = next
          const options = { doSample: false, numBeams, maxNewTokens, minNewTokens: maxNewTokens }
          counts[i] = (await loaded.generate({ inputIds }, options)).ids.length
        }
      }
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
      return counts
    },
  }
})
