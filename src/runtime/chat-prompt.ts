import { randomUUID } from 'node:crypto'
import { TandemError } from '../errors.ts'
import { applyChatTemplate } from '../template/chat-template.ts'
import { type ChatMessage, requireMessages } from '../template/messages.ts'
import type { EncodedText } from '../tokenizer/text-tokenizer.ts'
import type { ChatFormat } from './converted-model.ts'

export interface ChatPromptOptions {
  addGenerationPrompt: boolean
  tools?: readonly object[] | undefined
}

/** A chat as the model reads it. */
export interface ChatPrompt extends EncodedText {
  /** The rendered template. */
  text: string
}

/**
 * Renders and encodes a chat. What a message says stays text: where it spells a special token, that is kept apart while
 * the template is rendered, so that only the template's own special tokens become such. Ordinary messages get the ids
 * that transformers gives.
 */
export async function encodeChat(
  messages: readonly ChatMessage[],
  options: ChatPromptOptions,
  file: ChatFormat,
): Promise<ChatPrompt> {
  const { tokenizer } = file
  const checked = requireMessages(messages)
  const hidden = new HiddenPieces()
  const hide = (text: string) => tokenizer.replaceSpecialPieces(text, (piece) => hidden.hide(piece))
  const [hiddenMessages, hiddenTools] = mapTexts([checked, options.tools], hide) as [
    ChatMessage[],
    object[] | undefined,
  ]
  const rendered = render(hiddenMessages, { ...options, tools: hiddenTools }, file)
  // The usual case: what one call encodes and what its parts give is the same, and this is what transformers does.
  if (hidden.isEmpty) return { text: rendered, ...(await tokenizer.encode(rendered, { addSpecialTokens: false })) }
  const parts = tokenizer
    .splitAtSpecialTokens(rendered)
    .map((part) => (typeof part === 'string' ? hidden.restore(part) : part))
  return { text: hidden.restore(rendered), ...(await tokenizer.encodeParts(parts)) }
}

function render(
  messages: readonly ChatMessage[],
  { addGenerationPrompt, tools }: ChatPromptOptions,
  { chatTemplate, tokenizer }: ChatFormat,
): string {
  if (chatTemplate === undefined) {
    throw new TandemError('unsupported-model', 'The model has no chat template', { remedy: 'Give it a plain text' })
  }
  const specialTokens = Object.fromEntries(
    Object.entries(tokenizer.specialTokens).map(([name, token]) => [`${name}_token`, token]),
  )
  return applyChatTemplate(messages, {
    template: chatTemplate,
    addGenerationPrompt,
    specialTokens,
    ...(tools === undefined ? {} : { tools }),
  })
}

/** Pieces of texts behind names that are new with every prompt, so that no text can hold one. */
class HiddenPieces {
  readonly #name = randomUUID().replaceAll('-', '')
  readonly #pieces: string[] = []

  get isEmpty(): boolean {
    return this.#pieces.length === 0
  }

  hide(piece: string): string {
    return `${this.#name}${this.#pieces.push(piece) - 1}x`
  }

  restore(text: string): string {
    return text.replace(
      new RegExp(`${this.#name}(\\d+)x`, 'g'),
      (_, index: string) => this.#pieces[Number(index)] ?? '',
    )
  }
}

/** The same value with every text in it replaced. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]))
}
