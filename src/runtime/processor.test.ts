import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { describeProcessor } from './processor.ts'

const block = (processor: number, core: number) => `processor\t: ${processor}
model name\t: Example 9000 @ 3.00GHz
physical id\t: 0
core id\t\t: ${core}
flags\t\t: fpu avx avx2 f16c fma avx512f avx512_vnni
`

describe('the processor', () => {
  it('is read from /proc/cpuinfo', () => {
    const { model, cores, threads, features } = describeProcessor(() =>
      [block(0, 0), block(1, 0), block(2, 1)].join('\n'),
    )
    expect({ model, cores }).toEqual({ model: 'Example 9000 @ 3.00GHz', cores: 2 })
    expect(threads).toBe(availableParallelism())
    expect(features).toMatchObject({ avx2: true, fma: true, avx512_vnni: true, avx_vnni: false, amx_int8: false })
  })

  it('knows the words of ARM', () => {
    const { features } = describeProcessor(() => 'processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n')
    expect(features).toMatchObject({ neon: true, dotprod: true, i8mm: true, sve: false })
  })

  it('leaves out what the system does not tell', () => {
    const { features, cores } = describeProcessor(() => {
      throw new Error('ENOENT')
    })
    expect([features, cores]).toEqual([undefined, undefined])
    expect(describeProcessor(() => 'nonsense').features).toBeUndefined()
  })
})
