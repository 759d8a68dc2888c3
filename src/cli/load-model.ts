import { engineThreads } from '../native/open-options.ts'
import { cacheDirectory } from '../runtime/cache.ts'
import type { GenerationResult } from '../runtime/generation-run.ts'
import type { LanguageModel } from '../runtime/language-model.ts'
import { load } from '../runtime/load.ts'
import { type CommandContext, type EngineArguments, loadOptions } from './arguments.ts'
import type { Terminal } from './terminal.ts'

/** Loads the model that a command names; --verbose tells how. */
export async function loadModel(parsed: EngineArguments, context: CommandContext): Promise<LanguageModel> {
  const { terminal } = context
  terminal.detail('cache', cacheDirectory())
  const model = await load(parsed.model, await loadOptions(parsed, context))
  const { file, device, loadMs, contextSize } = model
  terminal.detail('model', `${file.path} (${file.architecture}, ${file.quantization ?? 'types of the file'})`)
  terminal.detail('device', device)
  terminal.detail('threads', String(engineThreads(file.gguf, parsed.threads)))
  terminal.detail('context', `${contextSize} tokens`)
  terminal.detail('loaded', `in ${loadMs.toFixed(0)} ms`)
  return model
}

/** What --verbose tells of a generation. */
export function detailTimings(terminal: Terminal, { usage, timings }: GenerationResult): void {
  const { encodeMs, decodeMs, steps } = timings
  terminal.detail(
    'timings',
    `${usage.inputTokens} tokens read in ${encodeMs.toFixed(1)} ms, ${usage.outputTokens} written in ${decodeMs.toFixed(1)} ms (${steps} steps)`,
  )
}
