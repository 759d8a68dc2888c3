import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import type * as Reading from '../../src/formats/gguf/read.ts'
import type * as Library from '../../src/native/library.ts'
import type * as Processor from '../../src/runtime/processor.ts'
import type * as StepWeights from '../../src/runtime/step-weights.ts'
import { distUrl, projectRoot } from './project-root.ts'
import type { Shape } from './shapes.ts'
import { ggufFile, type Workshop } from './workshop.ts'

/** What a result depends on beside the programs. */
export interface Environment {
  date: string
  machine: Record<string, string>
  versions: Record<string, string>
  /** What the memory allows. */
  limit: { model: Shape; stepBytes: number; readBandwidth: number }[]
  turns: number
}

const READ_MEBIBYTES = 512

export async function describeEnvironment(
  workshop: Workshop,
  shapes: readonly Shape[],
  turns: number,
): Promise<Environment> {
  const { describeProcessor } = (await import(distUrl('runtime/processor.js'))) as typeof Processor
  const { model, threads, features } = describeProcessor()
  const sets = Object.entries(features ?? {}).filter(([, has]) => has)
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      processor: `${model}, ${threads} ${threads === 1 ? 'thread' : 'threads'} of ${cpus().length}`,
      instructions: sets.map(([name]) => name).join(' ') || 'unknown',
      memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
      system: `${type()} ${release()}`,
    },
    versions: await versions(),
    limit: await limits(workshop, shapes, threads),
    turns,
  }
}

async function versions(): Promise<Record<string, string>> {
  const manifest = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8')) as {
    version: string
    dependencies: Record<string, string>
  }
  const requirements = await readFile(join(projectRoot, 'bench/peers/requirements.txt'), 'utf8')
  const { loadNative } = (await import(distUrl('native/library.js'))) as typeof Library
  return {
    Tandem: manifest.version,
    'Node.js': process.versions.node,
    'node-llama-cpp': `${manifest.dependencies['node-llama-cpp']}, llama.cpp ${loadNative().llamaRelease}`,
    'Python packages': requirements.trim().replaceAll('==', ' ').replaceAll('\n', ', '),
  }
}

async function limits(workshop: Workshop, shapes: readonly Shape[], threads: number): Promise<Environment['limit']> {
  const { loadNative } = (await import(distUrl('native/library.js'))) as typeof Library
  const { readGguf } = (await import(distUrl('formats/gguf/read.js'))) as typeof Reading
  const { stepWeightBytes } = (await import(distUrl('runtime/step-weights.js'))) as typeof StepWeights
  const readBandwidth = await loadNative().measureReadBandwidth(READ_MEBIBYTES, threads)
  const found: Environment['limit'] = []
  for (const model of shapes) {
    const { tensors } = await readGguf(await ggufFile(workshop, model))
    found.push({ model, stepBytes: stepWeightBytes(tensors), readBandwidth })
  }
  return found
}
