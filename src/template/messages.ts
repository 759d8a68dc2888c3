import { TandemError } from '../errors.ts'

/** One part of a message that is not plain text, in Hugging Face's words. */
export interface MessagePart {
  /** `text`, or whatever else the template knows. */
  type: string
  /** Of a part of type `text`. */
  text?: string
  /** Anything else that is plain data. */
  [key: string]: unknown
}

/** A chat message as templates read it; they may know more keys, such as `tool_calls`. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, `tool`, or what else the template knows. */
  role: string
  /** What was said. */
  content?: string | readonly MessagePart[] | null
  /** Anything else that is plain data. */
  [key: string]: unknown
}

/** Checks what came from outside; throws `invalid-argument` naming the message. */
export function requireMessages(messages: unknown): ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new TandemError('invalid-argument', 'A chat needs messages', {
      expected: 'a list of {role, content}',
      received: Array.isArray(messages) ? 'an empty list' : kindOf(messages),
    })
  }
  return messages.map((message: unknown, index) => {
    const name = `message ${index + 1}`
    requirePlainData(message, name)
    return requireMessage(message, name)
  })
}

/** Messages and schemas have some ten levels; templates walk through them by calling themselves. */
const MAX_DEPTH = 64

/** A book has some hundred thousand paragraphs. */
const MAX_VALUES = 1_000_000

/**
 * Checks that a value can be walked through: that it does not hold itself, and has an end.
 * @throws TandemError `invalid-argument`
 */
export function requirePlainData(value: unknown, name: string): void {
  let level: object[] = isHolder(value) ? [value] : []
  let values = 1
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw invalid(`${name} is nested too deep`, `at most ${MAX_DEPTH} levels`, 'more')
    const next: object[] = []
    for (const holder of level) {
      for (const item of Object.values(holder)) if (isHolder(item)) next.push(item)
      values += Object.keys(holder).length
      if (values > MAX_VALUES) throw invalid(`${name} is too large`, `at most ${MAX_VALUES} values`, 'more')
    }
    level = next
  }
}

function isHolder(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function requireMessage(message: unknown, name: string): ChatMessage {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw invalid(`${name} is not a message`, '{role, content}', kindOf(message))
  }
  const { role, content } = message as { role?: unknown; content?: unknown }
  if (typeof role !== 'string' || role === '') {
    throw invalid(`The role of ${name} is not a name`, "'system', 'user', 'assistant' or 'tool'", kindOf(role))
  }
  const isText = typeof content === 'string' || (Array.isArray(content) && content.every(isPart))
  // An assistant that only calls tools says nothing.
  const isCall = (content === null || content === undefined) && 'tool_calls' in message
  if (!isText && !isCall) {
    throw invalid(`The content of ${name} is not text`, 'a string or a list of {type, text}', kindOf(content))
  }
  return message as ChatMessage
}

function isPart(part: unknown): boolean {
  return typeof part === 'object' && part !== null && typeof (part as { type?: unknown }).type === 'string'
}

function invalid(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-argument', problem, { expected, received })
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === '') return 'an empty string'
  return Array.isArray(value) ? 'a list' : typeof value
}
