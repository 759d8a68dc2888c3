import { TandemError } from '../errors.ts'
import type { Prompt } from '../generation/decoder.ts'
import type { ChatMessage } from '../template/messages.ts'
import { encodeChat } from './chat-prompt.ts'
import type { ConvertedModel } from './converted-model.ts'

/** Token ids, for those who encode themselves. */
export interface TokenInput {
  inputIds: readonly number[]
  /** 1 for a token, 0 for padding; default is as transformers has it. */
  attentionMask?: readonly number[]
}

/** A text, the messages of a chat, or token ids. */
export type GenerationInput = string | readonly ChatMessage[] | readonly number[] | TokenInput

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
  text: string | undefined
  inputIds: readonly number[]
  attentionMask: readonly number[] | undefined
}

/** Turns any input into ids. Throws `invalid-argument` for what is none. */
export async function encodeInput(
  input: GenerationInput,
  options: InputOptions,
  file: ConvertedModel,
): Promise<EncodedInput> {
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
  if (tools !== undefined && !Array.isArray(tools)) throw invalid('Bad tools', 'a list of JSON schemas', typeof tools)
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
