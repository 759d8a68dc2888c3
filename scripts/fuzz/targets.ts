import type { FuzzTarget } from './target.ts'
import { tokenizerTarget } from './tokenizer.ts'

const TARGETS = {
  tokenizer: async () => tokenizerTarget(),
} satisfies Record<string, () => Promise<FuzzTarget>>

export type TargetName = keyof typeof TARGETS

export const TARGET_NAMES = Object.keys(TARGETS) as TargetName[]

export function isTargetName(name: string): name is TargetName {
  return Object.hasOwn(TARGETS, name)
}

export function openTarget(name: TargetName): Promise<FuzzTarget> {
  return TARGETS[name]()
}
