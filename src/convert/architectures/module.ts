/** A module of a model as transformers builds it: what PyTorch's `print(model)` shows of it, and what it holds. */
export interface Module {
  /** Name of the class. */
  className: string
  /** What PyTorch prints between the brackets of a module without children (its `extra_repr`). */
  details: string
  /** Names in the checkpoint of the parameters that are its own. */
  parameters: readonly string[]
  /** By their names, in PyTorch's order. */
  children: Readonly<Record<string, Module>>
}

/** A module that only holds others, or nothing, as an activation does. */
export function module(className: string, children: Module['children'] = {}, details = ''): Module {
  return { className, details, parameters: [], children }
}

/** Modules with numbers for names. */
export function moduleList(items: readonly Module[]): Module {
  return module('ModuleList', Object.fromEntries(items.entries()))
}

export function linear(path: string, [inFeatures, outFeatures]: readonly [number, number], bias = false): Module {
  return {
    className: 'Linear',
    details: `in_features=${inFeatures}, out_features=${outFeatures}, bias=${bias ? 'True' : 'False'}`,
    parameters: [`${path}.weight`, ...(bias ? [`${path}.bias`] : [])],
    children: {},
  }
}

export function embedding(path: string, [rows, width]: readonly [number, number], paddingIndex?: unknown): Module {
  const padding = typeof paddingIndex === 'number' ? `, padding_idx=${paddingIndex}` : ''
  return {
    className: 'Embedding',
    details: `${rows}, ${width}${padding}`,
    parameters: [`${path}.weight`],
    children: {},
  }
}

/** A norm with a weight and no bias; the class decides what it prints. */
export function norm(className: string, path: string, details = ''): Module {
  return { className, details, parameters: [`${path}.weight`], children: {} }
}

/** The class of an activation (transformers' `ACT2FN`). */
export function activation(name: string): Module {
  return module(ACTIVATIONS[name] ?? name)
}

const ACTIVATIONS: Readonly<Record<string, string>> = {
  relu: 'ReLU',
  gelu: 'GELUActivation',
  gelu_new: 'NewGELUActivation',
  silu: 'SiLUActivation',
}

/** A number as Python prints a float: `0.0`, `0.1`, `1e-06`. */
export function pythonFloat(value: number): string {
  if (Number.isInteger(value)) return `${value}.0`
  if (Math.abs(value) >= 1e-4) return String(value)
  return value.toExponential().replace(/e-(\d)$/, 'e-0$1')
}
