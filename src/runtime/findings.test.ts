import { describe, expect, it } from 'vitest'
import type { Diagnosis } from './diagnosis.ts'
import { findings } from './findings.ts'

const GIB = 2 ** 30
const CPU = { name: 'CPU', description: 'x', type: 'cpu', backend: 'CPU', memoryFree: GIB, memoryTotal: GIB }
const GPU = { ...CPU, name: 'CUDA0', type: 'gpu', backend: 'CUDA' }

const healthy: Omit<Diagnosis, 'findings'> = {
  platform: { os: 'linux', release: '6', arch: 'x64', node: '20.19.0' },
  processor: { model: 'x', threads: 2 },
  memory: { total: 8 * GIB, available: 4 * GIB },
  library: { addon: '/a', release: 'v1', loaded: { variant: 'cpu', directory: '/l' }, tried: [], kernels: null },
  devices: [CPU],
  cache: { directory: '/c', files: 0, size: 0, isWritable: true },
  versions: { tandem: '1', nodeLlamaCpp: '3', llamaCpp: 'v1' },
  canRun: true,
}
const trouble = { code: 'library-missing', message: 'It cannot be opened' }

describe('findings', () => {
  it('are none where all is well', () => {
    expect(findings(healthy)).toEqual([])
  })

  it.each([
    [
      'no library',
      { library: { ...healthy.library, loaded: null, trouble }, devices: [], canRun: false },
      /cannot be opened/,
    ],
    ['no CPU backend', { devices: [GPU], canRun: false }, /no CPU backend.*CUDA0/],
    [
      'a cache that cannot be written',
      { cache: { ...healthy.cache, isWritable: false } as const },
      /\/c cannot be written/,
    ],
    ['a cache that cannot be read', { cache: { trouble } }, /It cannot be opened/],
  ])('name %s as an error', (_name, change, problem) => {
    const found = findings({ ...healthy, ...change })
    expect(found).toMatchObject([{ severity: 'error', problem: expect.stringMatching(problem) as string }])
    expect(found[0]?.remedy).not.toBe('')
  })

  it('name a GPU variant that does not open, unless another GPU computes', () => {
    const library = {
      ...healthy.library,
      tried: [
        { variant: 'cuda' as const, obstacle: 'libcudart.so.13: cannot open shared object file', isInstalled: true },
        { variant: 'vulkan' as const, obstacle: 'package x is not installed', isInstalled: false },
        { variant: 'vulkan' as const, obstacle: 'package x holds no libraries', isInstalled: false },
        { variant: 'metal' as const, obstacle: 'llama.cpp is not built for linux x64 with metal', isInstalled: false },
      ],
    }
    expect(findings({ ...healthy, library })).toMatchObject([
      { severity: 'note', problem: expect.stringMatching(/cuda.*libcudart/) as string },
    ])
    expect(findings({ ...healthy, library, devices: [GPU, CPU] })).toEqual([])
  })

  it('come with the remedy of whoever found the trouble, the worst first', () => {
    const library = {
      ...healthy.library,
      tried: [
        { variant: 'cuda' as const, obstacle: 'libcudart.so.13: cannot open shared object file', isInstalled: true },
      ],
    }
    const memory = { total: GIB, available: 1 }
    const cache = { trouble: { ...trouble, remedy: 'Do this' } }
    expect(findings({ ...healthy, library, memory, cache }).map(({ severity }) => severity)).toEqual([
      'error',
      'warning',
      'note',
    ])
    const broken = { ...healthy.library, loaded: null, trouble: { ...trouble, remedy: 'Do this' } }
    expect(findings({ ...healthy, library: broken, canRun: false })[0]?.remedy).toBe('Do this')
  })

  it('warn of little memory and say whose limit it is', () => {
    const remedy = (limit: object) =>
      findings({ ...healthy, memory: { total: GIB, available: GIB / 2, ...limit } })[0]?.remedy
    expect(remedy({})).toMatch(/other programs/)
    expect(remedy({ limit: GIB })).toMatch(/container/)
  })
})
