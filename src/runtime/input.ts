import { inspect } from 'node:util'
import { TandemError } from '../errors.ts'
import type { Prompt } from '../generation/decoder.ts'
import { type ChatMessage, requirePlainData } from '../template/messages.ts'
import { encodeChat } from './chat-prompt.ts'
import type { ConvertedModel } from './converted-model.ts'

/** Token ids, for those who encode themselves. */
export interface TokenInput {
  /** From 0 to the vocabulary's end; one sequence, padding allowed. */
  inputIds: readonly number[]
  /** 1 for a token, 0 for padding; default is as transformers has it. */
  attentionMask?: readonly number[]
}

/** A text, the messages of a chat, or token ids. */
export type GenerationInput = string | readonly ChatMessage[] | readonly number[] | TokenInput

/** How an input is read. */
export interface InputOptions {
  /** Put the end-of-sequence token behind the prompt, as ChatLM's own program does. Default false. */
  appendEos?: boolean
  /** Open the assistant's turn behind the messages of a chat. Default true. */
  addGenerationPrompt?: boolean
  /** Functions that a chat template may offer to the model, as JSON schemas. */
  tools?: readonly object[]
}

/** An input in ids; `attentionMask` stays open when nobody gave one. */
export interface EncodedInput {
  /** The text that was encoded, with the chat template applied; undefined where the input was ids. */
  text: string | undefined
  /** From 0 to the vocabulary's end. */
  inputIds: readonly number[]
  /** 1 for a token, 0 for padding; as long as `inputIds`. */
  attentionMask: readonly number[] | undefined
}

/** Turns any input into ids. Throws `invalid-argument` for what is none. */
export async function encodeInput(
  input: GenerationInput,
  options: InputOptions,
  file: ConvertedModel,
): Promise<EncodedInput> {
  requireRunOptions(options)
  checkOptions(options)
  const { appendEos = false } = options
  if (typeof input === 'string') {
    const { inputIds, attentionMask } = await file.tokenizer.encode(input, { appendEos })
    return { text: input, inputIds, attentionMask }
  }
  const tokens = tokenInput(input)
  if (tokens !== undefined) return tokens
  if (!Array.isArray(input)) {
    throw invalid('This is nothing to generate from', 'a text, messages or token ids', typeof input)
  }
  const { addGenerationPrompt = true, tools } = options
  const prompt = await encodeChat(input as readonly ChatMessage[], { addGenerationPrompt, tools }, file)
  const end = appendEos ? await file.tokenizer.encode('', { addSpecialTokens: false, appendEos }) : undefined
  const inputIds = [...prompt.inputIds, ...(end?.inputIds ?? [])]
  return { text: prompt.text, inputIds, attentionMask: inputIds.map(() => 1) }
}

/** The prompt of a decoder, checked against its vocabulary; the decoder itself refuses an empty one. */
export function checkedPrompt({ inputIds, attentionMask }: EncodedInput, vocabularySize: number): Prompt {
  const wrong = inputIds.find((id) => !Number.isSafeInteger(id) || id < 0 || id >= vocabularySize)
  if (wrong !== undefined) {
    throw invalid('A token id is not in the vocabulary', `integers from 0 to ${vocabularySize - 1}`, String(wrong))
  }
  const mask = attentionMask ?? inputIds.map(() => 1)
  if (mask.length !== inputIds.length || mask.some((value) => value !== 0 && value !== 1)) {
    throw invalid('The attention mask does not fit', `${inputIds.length} zeros and ones`, `${mask.length} values`)
  }
  // The caller's arrays may change while the text is being written.
  return { inputIds: [...inputIds], attentionMask: [...mask] }
}

function checkOptions({ appendEos, addGenerationPrompt, tools }: InputOptions): void {
  for (const [name, value] of Object.entries({ appendEos, addGenerationPrompt })) {
    if (value !== undefined && typeof value !== 'boolean') throw invalid(`Bad ${name}`, 'true or false', typeof value)
  }
  if (tools === undefined) return
  const areObjects = Array.isArray(tools) && tools.every((tool: unknown) => typeof tool === 'object' && tool !== null)
  if (!areObjects) throw invalid('Bad tools', 'a list of JSON schemas', inspect(tools, { depth: 0 }))
  requirePlainData(tools, 'tools')
}

/**
 * What a generation is given beside the options of its search, for callers without types.
 * @throws TandemError `invalid-argument`
 */
export function requireRunOptions(options: unknown): void {
  const received = inspect(options, { depth: 0 })
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid('Bad options', 'an object', received)
  }
  const { signal, onStep }: { signal?: unknown; onStep?: unknown } = options
  const isSignal = typeof signal === 'object' && signal !== null && 'aborted' in signal && 'addEventListener' in signal
  if (signal !== undefined && !isSignal) throw invalid('Bad signal', 'an AbortSignal', inspect(signal, { depth: 0 }))
  if (onStep !== undefined && typeof onStep !== 'function') {
    throw invalid('Bad onStep', 'a function', inspect(onStep, { depth: 0 }))
  }
}

/** Before any work, and with both numbers: a decoder would find out only when its context is full. */
export function requireRoom({ attentionMask }: Prompt, contextSize: number): void {
  const tokens = attentionMask.reduce((sum, value) => sum + value, 0)
  if (tokens <= contextSize) return
  throw new TandemError('context-full', 'The input has more tokens than the context', {
    expected: `at most ${contextSize}`,
    received: `${tokens}`,
    remedy: 'Shorten it, or load the model with a larger contextSize (--context-size)',
  })
}

function tokenInput(input: unknown): EncodedInput | undefined {
  if (isIds(input)) return { text: undefined, inputIds: input, attentionMask: undefined }
  if (typeof input !== 'object' || input === null || !('inputIds' in input)) return undefined
  const { inputIds, attentionMask } = input as { inputIds: unknown; attentionMask?: unknown }
  if (!isIds(inputIds) || (attentionMask !== undefined && !isIds(attentionMask))) {
    throw invalid('InputIds and attentionMask are not what they should be', 'two lists of numbers', typeof inputIds)
  }
  return { text: undefined, inputIds, attentionMask }
}

/** The empty list counts as ids, which the decoder then finds too few. */
function isIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((id) => typeof id === 'number')
}

function invalid(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-argument', problem, { expected, received })
}
