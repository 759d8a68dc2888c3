import { TandemError } from '../errors.ts'
import type { KeptPastDecoder } from '../generation/kept-past.ts'
import type { StreamedRun } from '../runtime/generation-stream.ts'
import type { GenerateOptions } from '../runtime/generative-model.ts'
import { requireRunOptions } from '../runtime/input.ts'
import type { LanguageModel } from '../runtime/language-model.ts'
import { load } from '../runtime/load.ts'
import { requireLoadOptions } from '../runtime/load-options.ts'
import type { CallKind, Calls, HostMessage, ModelDescription, Request } from './protocol.ts'

/** A model of a host, and what it keeps for conversations. */
interface HostedModel {
  model: LanguageModel
  pasts: Map<number, KeptPastDecoder>
}

/** The models of a host, by their numbers. */
export type HostedModels = Map<number, HostedModel>

/** A request that is being answered. */
export interface RunningCall {
  readonly signal: AbortSignal
  /** Sends something about the call before its answer. */
  tell(message: HostMessage): void
  /** The generation that the call is, from when it begins. */
  run?: StreamedRun
}

type Handler<Kind extends CallKind> = (
  request: Request<Kind>,
  models: HostedModels,
  call: RunningCall,
) => Promise<Calls[Kind]['answer']>

/** What answers each kind of request. Options and inputs are checked by what they are handed to, as in one process. */
export const HANDLERS: { readonly [Kind in CallKind]: Handler<Kind> } = {
  load: async ({ call: number, name, options, progress }, models, { signal, tell }) => {
    requireLoadOptions(options)
    const onProgress = progress
      ? { onProgress: (progress: ProgressOf) => tell({ kind: 'progress', call: number, progress }) }
      : {}
    const model = await load(name, { ...options, ...onProgress, signal })
    models.set(number, { model, pasts: new Map() })
    return describe(number, model)
  },

  generate: async (request, models, running) => {
    const { call, input, options, pieces, steps } = request
    const { signal, tell } = running
    requireRunOptions(options)
    const onStep: Pick<GenerateOptions, 'onStep'> = steps
      ? { onStep: (event) => tell({ kind: 'step', call, event }) }
      : {}
    const followed = { ...options, ...onStep, signal } as GenerateOptions
    const { model, past } = withPast(request, models)
    const run = model.run(
      async () => input,
      () => followed,
      past,
    )
    running.run = run
    for await (const piece of run.pieces()) if (pieces) tell({ kind: 'piece', call, piece })
    return run.result()
  },

  encode: async ({ model, input, options }, models) => hosted(model, models).model.encode(input, options),
  resolve: async ({ model, options }, models) => hosted(model, models).model.resolve(options),

  encodeText: async ({ model, text, options }, models) => hosted(model, models).model.tokenizer.encode(text, options),
  encodeBatch: async ({ model, texts, options }, models) =>
    hosted(model, models).model.tokenizer.encodeBatch(texts, options),
  decode: async ({ model, ids, options }, models) => hosted(model, models).model.tokenizer.decode(ids, options),
  tokens: async ({ model, ids }, models) => hosted(model, models).model.tokenizer.tokens(ids),

  release: async ({ model, past }, models) => {
    const pasts = models.get(model)?.pasts
    const kept = pasts?.get(past)
    pasts?.delete(past)
    await kept?.release()
    return undefined
  },

  dispose: async ({ model }, models) => {
    const found = models.get(model)
    models.delete(model)
    await found?.model.dispose()
    return undefined
  },
}

type ProgressOf = Extract<HostMessage, { kind: 'progress' }>['progress']

function hosted(number: number, models: HostedModels): HostedModel {
  const found = models.get(number)
  if (found !== undefined) return found
  throw new TandemError('disposed', 'The model is disposed', { remedy: 'Load it again' })
}

function withPast({ model: number, past: name }: Request<'generate'>, models: HostedModels) {
  const { model, pasts } = hosted(number, models)
  const past = name === undefined ? undefined : (pasts.get(name) ?? model.keepPast())
  if (name !== undefined && past !== undefined) pasts.set(name, past)
  return { model, past }
}

function describe(number: number, { kind, device, contextSize, loadMs, tokenizer }: LanguageModel): ModelDescription {
  const { vocabularySize, specialTokens } = tokenizer
  return { model: number, kind, device, contextSize, loadMs, tokenizer: { vocabularySize, specialTokens } }
}
