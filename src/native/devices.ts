import { TandemError } from '../errors.ts'
import type { NativeDevice } from './addon.ts'
import { listDevices } from './library.ts'
import { variantFor } from './variants.ts'

/**
 * The device that `auto`, a kind of device or a name means here.
 *
 * @throws TandemError `device-unavailable`, `library-*`
 */
export function chooseDevice(wanted: string): NativeDevice {
  const { variant, devices } = listDevices({ variant: variantFor(wanted) })
  const found =
    devices.find((device) => device.name === wanted) ??
    devices.find((device) => matchesKind(device, wanted)) ??
    (wanted === 'auto' ? devices.find((device) => device.type === 'cpu') : undefined)
  if (found !== undefined) return found
  throw new TandemError('device-unavailable', `There is no device for "${wanted}" here`, {
    expected: `auto, cpu${devices.map((device) => `, ${device.name} (${device.description})`).join('')}`,
    received: wanted,
    remedy: `The ${variant} variant of llama.cpp is loaded`,
  })
}

function matchesKind(device: NativeDevice, wanted: string): boolean {
  if (wanted === 'cpu') return device.type === 'cpu'
  const isGpu = device.type === 'gpu' || device.type === 'igpu'
  const backend = device.backend.toLowerCase()
  return isGpu && (wanted === 'auto' || (backend === 'mtl' ? 'metal' : backend) === wanted)
}
