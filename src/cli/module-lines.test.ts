import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readJson } from '../../test/golden/reference.ts'
import { type Module, module, moduleList } from '../convert/architectures/module.ts'
import { readModel } from '../convert/architectures/registry.ts'
import { Fields } from '../convert/fields.ts'
import { moduleLines } from './module-lines.ts'

type Cases = Record<string, { config: Record<string, unknown>; text: string }>

const cases = readJson<Cases>(fileURLToPath(new URL('../../test/golden/modules.json', import.meta.url)))

function printed(root: Module, note?: (module: Module, count: number) => string): string[] {
  return moduleLines(root, note).map((line) => (line.note === '' ? line.text : `${line.text} # ${line.note}`))
}

describe('moduleLines', () => {
  it.each(Object.entries(cases))('prints %s as PyTorch does', (_name, { config, text }) => {
    expect(printed(readModel(new Fields('config.json', config)).modules)).toEqual(text.split('\n'))
  })

  it('folds neighbours only, and only those with the same notes', () => {
    const [a, b] = [module('A'), module('B')]
    const list = moduleList([a, a, b, a, a, a])
    expect(printed(list)).toEqual(['ModuleList(', '  (0-1): 2 x A()', '  (2): B()', '  (3-5): 3 x A()', ')'])
    const special = module('A')
    const noted = moduleList([a, a, special, a])
    expect(printed(noted, (one, count) => (one === noted ? '' : `${count}${one === special ? '!' : ''}`))).toEqual([
      'ModuleList(',
      '  (0-1): 2 x A() # 2',
      '  (2): A() # 1!',
      '  (3): A() # 1',
      ')',
    ])
  })

  it('folds nothing outside of lists', () => {
    expect(printed(module('Pair', { x: module('A'), y: module('A') }))).toEqual([
      'Pair(',
      '  (x): A()',
      '  (y): A()',
      ')',
    ])
    expect(printed(moduleList([]))).toEqual(['ModuleList()'])
  })
})
