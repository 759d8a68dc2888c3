import type { TensorRule } from '../convert/architectures/architecture.ts'
import type { Module } from '../convert/architectures/module.ts'
import { readModel } from '../convert/architectures/registry.ts'
import { Fields } from '../convert/fields.ts'
import { typeName } from '../formats/gguf/types.ts'

/** A parameter of a module and the tensor that holds it. */
export interface InspectedParameter {
  /** Name in the Hugging Face checkpoint; of a file that another converter made, in GGUF. */
  name: string
  /** Name in GGUF. */
  tensor: string
  /** Row-major, as PyTorch shows it. */
  shape: number[]
  /** Type that it is computed from: `q8_0`, `f32`, … */
  type: string
  /** Type in the model folder, where that is what was inspected. */
  sourceType?: string
  /** Values. */
  count: number
  /** Bytes as converted. */
  bytes: number
  /** The parameter, told before, that is the same tensor: its values count there. */
  sharedWith?: string
}

/** A module as transformers builds it, and what it holds. */
export interface InspectedModule {
  /** Class in transformers or PyTorch: `T5Attention`, `Linear`, … */
  className: string
  /** What PyTorch prints between the brackets of a module without children. */
  details: string
  /** Parameters of its own. */
  parameters: InspectedParameter[]
  /** The modules in it, by name, in their order. */
  children: Record<string, InspectedModule>
  /** Values of its own and of all modules in it, each tensor once: where it comes first. */
  parameterCount: number
  /** Bytes of the same, as converted. */
  bytes: number
}

/** What the tree needs of a tensor. */
export interface TreeTensor {
  name: string
  type: number
  /** Only of a folder. */
  sourceType?: number
  /** ggml order. */
  shape: readonly number[]
  size: number
}

/** The modules of transformers' model, for a file that `convert` wrote or would write. */
export function moduleTree(config: Record<string, unknown>, tensors: readonly TreeTensor[]): InspectedModule {
  const model = readModel(new Fields('config.json', config))
  const names = tensorNames(model.tensors, tensors)
  return new Weigher(tensors, (parameter) => names.get(parameter)).weigh(model.modules)
}

/** Names in GGUF by names in the checkpoint. A model without an output matrix of its own uses its embedding. */
function tensorNames(rules: readonly TensorRule[], tensors: readonly TreeTensor[]): Map<string, string> {
  const present = new Set(tensors.map(({ name }) => name))
  const names = new Map<string, string>()
  for (const { to, from } of rules) {
    const tensor = to === 'output.weight' && !present.has(to) ? 'token_embd.weight' : to
    for (const name of [from].flat()) names.set(name, tensor)
  }
  return names
}

const PARAMETER = /^(.*)\.(weight|bias)$/

/** The tensors of any file, nested as their names are. */
export function tensorTree(architecture: string, tensors: readonly TreeTensor[]): InspectedModule {
  const root = new Branch()
  for (const { name } of tensors) {
    const [, path = name] = PARAMETER.exec(name) ?? []
    root.at(path.split('.')).tensors.push(name)
  }
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]))
  return new Weigher(tensors, (parameter) => parameter).weigh(root.module(architecture, shapes))
}

/** Values of a tensor of this shape. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** A part of the names of tensors. */
class Branch {
  readonly tensors: string[] = []
  readonly branches = new Map<string, Branch>()

  at([name, ...rest]: readonly string[]): Branch {
    if (name === undefined) return this
    const branch = this.branches.get(name) ?? new Branch()
    this.branches.set(name, branch)
    return branch.at(rest)
  }

  module(className: string, shapes: ReadonlyMap<string, readonly number[]>): Module {
    const children: [string, Module][] = [...this.branches].map(([name, branch]) => [
      name,
      branch.module(branch.branches.size === 0 ? 'Tensor' : branch.#isList ? 'ModuleList' : 'Module', shapes),
    ])
    const details = this.tensors.map((name) => {
      return `${PARAMETER.exec(name)?.[2] ?? 'value'}=[${[...(shapes.get(name) ?? [])].reverse().join(', ')}]`
    })
    return { className, details: details.join(', '), parameters: this.tensors, children: Object.fromEntries(children) }
  }

  get #isList(): boolean {
    return [...this.branches.keys()].every((name) => /^\d+$/.test(name))
  }
}

/** Gives every tensor to the first module that has it. */
class Weigher {
  readonly #tensors: ReadonlyMap<string, TreeTensor>
  readonly #tensorOf: (parameter: string) => string | undefined
  readonly #owners = new Map<string, string>()

  constructor(tensors: readonly TreeTensor[], tensorOf: (parameter: string) => string | undefined) {
    this.#tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]))
    this.#tensorOf = tensorOf
  }

  weigh({ className, details, parameters, children }: Module): InspectedModule {
    const own = parameters.flatMap((name) => this.#parameter(name))
    const inner = Object.entries(children).map(([name, child]) => [name, this.weigh(child)] as const)
    const parts = [
      ...own.filter(({ sharedWith }) => sharedWith === undefined).map(({ count, bytes }) => ({ count, bytes })),
      ...inner.map(([, { parameterCount, bytes }]) => ({ count: parameterCount, bytes })),
    ]
    return {
      className,
      details,
      parameters: own,
      children: Object.fromEntries(inner),
      parameterCount: parts.reduce((sum, { count }) => sum + count, 0),
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  #parameter(name: string): InspectedParameter[] {
    const tensor = this.#tensors.get(this.#tensorOf(name) ?? '')
    if (tensor === undefined) return []
    const owner = this.#owners.get(tensor.name)
    if (owner === undefined) this.#owners.set(tensor.name, name)
    return [
      {
        name,
        tensor: tensor.name,
        shape: [...tensor.shape].reverse(),
        type: typeName(tensor.type),
        ...(tensor.sourceType === undefined ? {} : { sourceType: typeName(tensor.sourceType) }),
        count: valueCount(tensor.shape),
        bytes: tensor.size,
        ...(owner === undefined ? {} : { sharedWith: owner }),
      },
    ]
  }
}
