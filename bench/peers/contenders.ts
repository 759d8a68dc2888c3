import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ChildContender } from './child-contender.ts'
import { runCommand } from './command.ts'
import type { Contender } from './contender.ts'
import { projectRoot } from './project-root.ts'
import type { Settings } from './protocol.ts'
import type { Shape } from './shapes.ts'
import { ctranslate2Folder, ggufFile, llamaConverter, server, shapeFolder, type Workshop } from './workshop.ts'

const CORES = availableParallelism()
const KINDS = { chatlm: 'encoder-decoder', 'qwen2.5-0.5b': 'decoder-only' } as const satisfies Record<
  Shape,
  Settings['kind']
>

export const TANDEM = 'Tandem'

/**
 * Who takes part: every program, those that do not take minutes, these with any number of threads, those that batch, those that
 * convert.
 */
export type Field = 'all' | 'fast' | 'threads' | 'batch' | 'convert'

/** 1, 2, 4 and so on, and as many as there are cores. */
const THREAD_COUNTS: readonly number[] = [
  ...Array.from({ length: Math.ceil(Math.log2(CORES)) }, (_, i) => 2 ** i),
  CORES,
]

/** The programs that can run a shape, each at every setting that may be its best. */
export async function contendersFor(workshop: Workshop, shape: Shape): Promise<Record<Field, Contender[]>> {
  const ours = await tandem(workshop, shape)
  const singles = await ctranslate2Singles(workshop, shape)
  const ggml = await tandem(workshop, shape, { kernels: 'ggml' })
  const fast = [ours, ...singles, ...(shape === 'chatlm' ? [] : [await nodeLlamaCpp(workshop, shape)]), ggml]
  return {
    all: [...fast, ...(await transformers(workshop, shape))],
    fast,
    threads: [ours, ...singles, ggml, ...(await withFewerThreads(workshop, shape))],
    batch: [ours, ...(await ctranslate2Batches(workshop, shape))],
    convert: await converters(workshop, shape),
  }
}

/** Those that `fast` lacks, where nobody is at his best with them. */
async function withFewerThreads(workshop: Workshop, shape: Shape): Promise<Contender[]> {
  const fewer = THREAD_COUNTS.filter((count) => count < CORES)
  return Promise.all([
    ...fewer.map((count) => tandem(workshop, shape, { count })),
    ...fewer.map((count) => tandem(workshop, shape, { count, kernels: 'ggml' })),
    ...fewer.filter((count) => count > 1).map((count) => ctranslate2(workshop, shape, { threads: count })),
  ])
}

async function tandem(
  workshop: Workshop,
  shape: Shape,
  { kernels, count = CORES }: { kernels?: string; count?: number } = {},
): Promise<Contender> {
  const peer = kernels === undefined ? TANDEM : "llama.cpp's kernels"
  const names = { peer, setting: `q8_0, ${threads(count)}`, threads: count }
  const command = {
    program: process.execPath,
    arguments: [nodeServer('tandem-server.js')],
    ...(kernels === undefined ? {} : { environment: { TANDEM_KERNELS: kernels } }),
  }
  const settings = { model: await ggufFile(workshop, shape), kind: KINDS[shape], threads: count, contextSize: 4096 }
  return new ChildContender(names, command, settings)
}

async function ctranslate2Singles(workshop: Workshop, shape: Shape): Promise<Contender[]> {
  const counts = [...new Set([1, CORES])]
  return Promise.all(counts.map((count) => ctranslate2(workshop, shape, { threads: count })))
}

async function ctranslate2Batches(workshop: Workshop, shape: Shape): Promise<Contender[]> {
  const options = [
    { threads: CORES, batchSize: 16 },
    { threads: 1, parallel: CORES, batchSize: 16 },
    { threads: 1, parallel: CORES, batchSize: 32 },
  ]
  return Promise.all(options.map((option) => ctranslate2(workshop, shape, option)))
}

async function ctranslate2(
  workshop: Workshop,
  shape: Shape,
  options: { threads: number; parallel?: number; batchSize?: number },
): Promise<Contender> {
  const { parallel, batchSize } = options
  const setting = [
    'int8',
    `${parallel === undefined ? '' : `${parallel} × `}${threads(options.threads)}`,
    ...(batchSize === undefined ? [] : [`batches of ${batchSize}`]),
  ].join(', ')
  const model = await ctranslate2Folder(workshop, shape)
  const settings = { model, kind: KINDS[shape], type: 'int8', ...options }
  const names = { peer: 'CTranslate2', setting, ...(parallel === undefined ? { threads: options.threads } : {}) }
  return new ChildContender(names, python(workshop, 'ctranslate2_server.py'), settings)
}

async function nodeLlamaCpp(workshop: Workshop, shape: Shape): Promise<Contender> {
  const names = { peer: 'node-llama-cpp', setting: `q8_0, ${threads(CORES)}` }
  const command = { program: process.execPath, arguments: [nodeServer('node-llama-cpp-server.js')] }
  const model = await ggufFile(workshop, shape)
  return new ChildContender(names, command, { model, kind: KINDS[shape], threads: CORES, contextSize: 4096 })
}

async function transformers(workshop: Workshop, shape: Shape): Promise<Contender[]> {
  const model = await shapeFolder(workshop, shape)
  return ['float32', 'bfloat16'].map((type) => {
    const names = { peer: 'transformers', setting: `${type}, ${threads(CORES)}` }
    const settings = { model, kind: KINDS[shape], threads: CORES, type }
    return new ChildContender(names, python(workshop, 'transformers_server.py'), settings)
  })
}

/** Programs that convert the folder of a shape, each in a process of its own that is timed as a whole. */
async function converters(workshop: Workshop, shape: Shape): Promise<Contender[]> {
  const source = await shapeFolder(workshop, shape)
  const output = join(workshop.folder, `converted-${shape}`)
  const tandemMain = join(projectRoot, 'dist/cli/main.js')
  const llama = await llamaConverter(workshop)
  const { python } = workshop
  return [
    converter([TANDEM, 'q8_0'], [process.execPath, tandemMain, 'convert', source, '-o', output], output),
    converter(['llama.cpp', 'q8_0'], [python, llama, source, '--outfile', output, '--outtype', 'q8_0'], output),
    converter(['CTranslate2', 'int8'], [python, server('convert_ctranslate2.py'), source, output], output),
  ]
}

function converter(
  [peer, setting]: [string, string],
  [program, ...parameters]: [string, ...string[]],
  output: string,
): Contender {
  return {
    peer,
    setting,
    async measure() {
      await rm(output, { recursive: true, force: true })
      const begin = performance.now()
      await runCommand(program, parameters)
      const ms = performance.now() - begin
      await rm(output, { recursive: true, force: true })
      return ms
    },
    async close() {},
  }
}

function python({ python: program }: Workshop, script: string) {
  return { program, arguments: [server(script)], environment: { HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' } }
}

function nodeServer(name: string): string {
  return fileURLToPath(new URL(`servers/${name}`, import.meta.url))
}

/** `1 thread`, `2 threads`. */
export function threads(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`
}
