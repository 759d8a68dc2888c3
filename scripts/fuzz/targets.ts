import { chatTemplateTarget } from './chat-template.ts'
import { ggufTarget } from './gguf.ts'
import { modelTarget } from './model.ts'
import { safetensorsTarget } from './safetensors.ts'
import type { FuzzTarget } from './target.ts'
import { tokenizerTarget } from './tokenizer.ts'

const TARGETS = {
  safetensors: async () => safetensorsTarget(),
  gguf: async () => ggufTarget(),
  tokenizer: async () => tokenizerTarget(),
  'chat-template': async () => chatTemplateTarget(),
  model: modelTarget,
} satisfies Record<string, () => Promise<FuzzTarget>>

export type TargetName = keyof typeof TARGETS

export const TARGET_NAMES: readonly TargetName[] = ['safetensors', 'gguf', 'tokenizer', 'chat-template', 'model']

export function isTargetName(name: string): name is TargetName {
  return Object.hasOwn(TARGETS, name)
}

export function openTarget(name: TargetName): Promise<FuzzTarget> {
  return TARGETS[name]()
}
