import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as Convert from '../../src/convert/convert.ts'
import { readGguf } from '../../src/formats/gguf/read.ts'
import type { GgufTensor } from '../../src/formats/gguf/types.ts'
import type * as Load from '../../src/runtime/load.ts'
import { encodeDocument, type GgufDocument, mutateDocument } from './gguf-document.ts'
import { projectRoot } from './project-root.ts'
import type { Random } from './random.ts'
import { type FuzzTarget, outcomeOf } from './target.ts'

/** A model in memory, to be written again and again with something changed. */
interface Seed extends GgufDocument {
  data: Map<string, Buffer>
}

/** Models that are changed, written, loaded by the native engines and asked for a few tokens. */
export async function modelTarget(): Promise<FuzzTarget> {
  const root = projectRoot()
  const dist = (file: string): string => pathToFileURL(join(root, 'dist', file)).href
  const { load } = (await import(dist('runtime/load.js'))) as typeof Load
  const { convert } = (await import(dist('convert/convert.js'))) as typeof Convert
  const directory = await mkdtemp(join(tmpdir(), 'tandem-fuzz-'))
  const seeds: Seed[] = []
  for (const name of ['nano-qwen', 'nano-chatlm']) {
    const output = join(directory, `${name}.gguf`)
    await convert(join(root, 'models', name), { output, quantization: 'q8_0' })
    seeds.push(await readSeed(output))
  }
  const path = join(directory, 'changed.gguf')
  return {
    async run(random) {
      const seed = seeds[random.below(seeds.length)]
      if (seed === undefined) return 'accepted'
      await writeFile(path, changedFile(seed, random))
      return outcomeOf(async () => {
        const contextSize = random.pick([1, 16, 64, 300])
        const model = await load(path, { device: 'cpu', threads: 1, contextSize })
        try {
          await model.generate(random.pick(['a', '你好', [5, 6, 7]]), {
            doSample: false,
            maxNewTokens: 3,
            numBeams: random.pick([1, 2]),
          })
        } finally {
          await model.dispose()
        }
      })
    },
    close: () => rm(directory, { recursive: true, force: true }),
  }
}

async function readSeed(path: string): Promise<Seed> {
  const { metadata, tensors } = await readGguf(path)
  const bytes = await readFile(path)
  const slice = ({ offset, size }: GgufTensor): Buffer => bytes.subarray(offset, offset + size)
  return {
    metadata,
    tensors: tensors.map(({ name, type, shape }) => ({ name, type, shape })),
    data: new Map(tensors.map((tensor) => [tensor.name, slice(tensor)])),
  }
}

function changedFile(seed: Seed, random: Random): Buffer {
  const document = mutateDocument(seed, random)
  const { header, sizes } = encodeDocument(document)
  const pieces = document.tensors.map(({ name }, i) => {
    const size = sizes[i] ?? 0
    const piece = Buffer.alloc(size)
    seed.data.get(name)?.copy(piece, 0, 0, size)
    // Weights of NaN and infinity, or of noise.
    if (random.chance(0.01)) piece.fill(random.pick([0xff, 0x7c, random.below(256)]))
    return piece
  })
  return Buffer.concat([header, ...pieces])
}
