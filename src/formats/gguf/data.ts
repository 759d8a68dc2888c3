import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { TandemError } from '../../errors.ts'
import { describeFileError, readFully } from '../files.ts'
import type { GgufTensor } from './types.ts'

/** The tensors' data of a GGUF file, read piece by piece. */
export interface GgufData {
  /**
   * Fills `target` with the tensor's bytes from `position` on.
   * @throws TandemError `invalid-file` if the file has become shorter, `io`
   */
  read: (tensor: GgufTensor, position: number, target: Uint8Array) => Promise<void>
  close: () => Promise<void>
}

/** Opens a file whose table `readGguf` has read. */
export async function openGgufData(path: string): Promise<GgufData> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw describeFileError(cause, `${path} cannot be read`)
  })
  return {
    async read(tensor, position, target) {
      const isThere = await readFully(handle, target, tensor.offset + position).catch((cause: unknown) => {
        throw describeFileError(cause, `${path} cannot be read`)
      })
      if (isThere) return
      throw new TandemError('invalid-file', `${basename(path)} became shorter while ${tensor.name} was read`)
    },
    close: () => handle.close(),
  }
}
