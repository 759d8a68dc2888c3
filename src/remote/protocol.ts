import { inspect } from 'node:util'
import type { ConversionProgress } from '../convert/convert.ts'
import { type ErrorCode, TandemError } from '../errors.ts'
import type { GenerationConfig, GenerationOptions } from '../generation/options.ts'
import type { GenerationEvent, GenerationResult } from '../runtime/generation-run.ts'
import type { GenerateOptions, GenerativeModel, ModelTokenizer } from '../runtime/generative-model.ts'
import type { EncodedInput, GenerationInput, InputOptions } from '../runtime/input.ts'
import type { LoadOptions } from '../runtime/load.ts'
import type { BatchEncodeOptions, DecodeOptions, EncodedText, EncodeOptions } from '../tokenizer/text-tokenizer.ts'

/** What a host says first. A client of another version goes no further. */
export const PROTOCOL_VERSION = 1

/** Options without what stays with the caller: signals and callbacks become messages of their own. */
export type Portable<Options> = Options extends unknown ? Omit<Options, 'signal' | 'onStep' | 'onProgress'> : never

/** What a host tells of a model that it has loaded. */
export interface ModelDescription extends Pick<GenerativeModel, 'kind' | 'device' | 'contextSize' | 'loadMs'> {
  /** Number under which the host keeps the model. */
  model: number
  tokenizer: Pick<ModelTokenizer, 'vocabularySize' | 'specialTokens'>
}

/** What a host can be asked, by the kind of the request: its own fields, and the value of the answer. */
export interface Calls {
  load: { request: { name: string; options: Portable<LoadOptions>; progress: boolean }; answer: ModelDescription }
  generate: {
    request: {
      model: number
      input: GenerationInput
      options: Portable<GenerateOptions>
      /** Number of the conversation whose past is kept, as the client counts them. */
      past: number | undefined
      /** Whether to send pieces of the text, and steps of the search, while they come. */
      pieces: boolean
      steps: boolean
    }
    answer: GenerationResult
  }
  encode: { request: { model: number; input: GenerationInput; options: InputOptions }; answer: EncodedInput }
  resolve: { request: { model: number; options: GenerationOptions }; answer: GenerationConfig }
  encodeText: { request: { model: number; text: string; options: EncodeOptions }; answer: EncodedText }
  encodeBatch: {
    request: { model: number; texts: readonly string[]; options: BatchEncodeOptions }
    answer: EncodedText[]
  }
  decode: { request: { model: number; ids: readonly number[]; options: DecodeOptions }; answer: string }
  tokens: { request: { model: number; ids: readonly number[] }; answer: (string | undefined)[] }
  /** Frees the past of a conversation. */
  release: { request: { model: number; past: number }; answer: undefined }
  dispose: { request: { model: number }; answer: undefined }
}
export type CallKind = keyof Calls

/** A request; `call` is the client's number for it, which every message about it bears. */
export type Request<Kind extends CallKind = CallKind> = {
  [Each in Kind]: { kind: Each; call: number } & Calls[Each]['request']
}[Kind]

/** From the client: requests, and what is said without an answer. */
export type ClientMessage =
  | Request
  /** The call shall end, with the error `aborted`. */
  | { kind: 'abort'; call: number }
  /** The generation shall end after its step, with what there is. */
  | { kind: 'leave'; call: number }
  /** The host shall end. */
  | { kind: 'close' }

/** From the host. Messages of a call come in the order in which things happened; an answer or an error is its last. */
export type HostMessage =
  | { kind: 'hello'; version: number }
  | { kind: 'progress'; call: number; progress: ConversionProgress }
  | { kind: 'piece'; call: number; piece: string }
  | { kind: 'step'; call: number; event: GenerationEvent }
  | { kind: 'answer'; call: number; value: unknown }
  /** `call` is null when the message that was wrong named none; `result` is what a generation had until then. */
  | { kind: 'error'; call: number | null; error: PortableError; result?: GenerationResult }

/** A TandemError on its way; its cause stays where it was. */
export interface PortableError {
  code: ErrorCode
  problem: string
  expected: string | undefined
  received: string | undefined
  remedy: string | undefined
}

/** Takes an error apart. What is no TandemError is a defect of the host, and said to be one. */
export function portableError(error: unknown): PortableError {
  if (error instanceof TandemError) {
    const { code, problem, expected, received, remedy } = error
    return { code, problem, expected, received, remedy }
  }
  return {
    code: 'compute-failed',
    problem: 'The engine failed unexpectedly',
    expected: undefined,
    received: error instanceof Error ? `${error.name}: ${error.message}` : inspect(error),
    remedy: undefined,
  }
}

/** The error that a host reported. */
export function revivedError({ code, problem, expected, received, remedy }: PortableError, cause?: unknown) {
  return new TandemError(code, problem, {
    ...(expected === undefined ? {} : { expected }),
    ...(received === undefined ? {} : { received }),
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  })
}
