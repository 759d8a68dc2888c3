import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { requireQuantization } from '../convert/convert.ts'
import { planFile } from '../convert/planned-file.ts'
import { TandemError } from '../errors.ts'
import { gibibytes } from '../native/context-memory.ts'
import { chooseDevice } from '../native/devices.ts'
import type { ModelFile } from '../native/model-file.ts'
import type { OpenOptions } from '../native/open-options.ts'
import { bytesToOpen } from './memory.ts'
import { type SystemMemory, systemMemory } from './system-memory.ts'

/**
 * Refuses a model that its device has no room for, before anything of it is read: the system would hand out the memory
 * all the same, and end the process once it is used.
 *
 * @throws TandemError `out-of-memory` with what is needed and what is there
 */
export function requireMemory(file: ModelFile, options: OpenOptions = {}): void {
  const device = chooseDevice(options.device ?? 'auto')
  const system = systemMemory()
  const { weights, keysAndValues } = bytesToOpen(file, options)
  const room = device.type === 'cpu' ? roomOf(system) : device.memoryFree
  // Devices that do not know their memory say 0.
  if (weights + keysAndValues <= room || (device.type !== 'cpu' && device.memoryTotal === 0)) return
  throw new TandemError('out-of-memory', `The model does not fit into the memory of ${device.name}`, {
    expected: `at most ${gibibytes(room)}, which are free of ${gibibytes(device.type === 'cpu' ? system.total : device.memoryTotal)}`,
    received: `${gibibytes(weights)} of weights${keysAndValues === 0 ? '' : ` and ${gibibytes(keysAndValues)} of keys and values`}`,
    remedy: `Choose a smaller type of weights (--quantize) or contextSize (--context-size), ${
      device.type === 'cpu' ? 'or end other programs' : 'or the CPU (--device cpu)'
    }; tandem inspect shows what a model needs`,
  })
}

/**
 * The same for a model folder that is to be converted. Small ones are let through by the size of their weights, so that
 * their vocabulary need not be read twice.
 */
export async function requireMemoryForFolder(
  folder: string,
  quantization: string,
  options: OpenOptions = {},
): Promise<void> {
  // No type takes more than f32, which is twice what a checkpoint in half precision has.
  const most = 2 * (await checkpointBytes(folder))
  if (most > SURE_SHARE * roomOf(systemMemory())) {
    requireMemory(await planFile(folder, requireQuantization(quantization)), options)
  }
}

const SURE_SHARE = 0.25

async function checkpointBytes(folder: string): Promise<number> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.safetensors'))
  // What cannot be read is reported by whoever reads it.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** What macOS calls free leaves out all that it would give up at once. */
function roomOf({ total, available }: SystemMemory): number {
  return process.platform === 'darwin' ? total : available
}
