import { Script } from 'node:vm'
import { Template } from '@huggingface/jinja'
import { TandemError } from '../errors.ts'
import { type ChatMessage, requireMessages } from './messages.ts'

/** Options of {@link applyChatTemplate}. */
export interface ChatTemplateOptions {
  /** Jinja text of the model's `chat_template`. */
  template: string
  /** Open the assistant's turn at the end. Default false, as in transformers. */
  addGenerationPrompt?: boolean
  /** Variables such as `bos_token` that a template may print. */
  specialTokens?: Readonly<Record<string, string>>
  /** JSON schemas of the functions that the model may call. */
  tools?: readonly object[]
}

/** Templates in use have up to 30,000 characters. */
const MAX_TEMPLATE_LENGTH = 1_000_000

/** A thousand messages take some 20 ms; a template that needs longer than this was written to hang. */
const TIME_LIMIT_MS = 1_000

/**
 * Renders messages as `tokenizer.apply_chat_template(..., tokenize=False)` does.
 * Throws `invalid-argument` for messages that are none or that the template refuses, `invalid-file` for a bad template.
 * A model's own template is applied by `model.encode(messages)`.
 *
 * @example
 * applyChatTemplate([{ role: 'user', content: 'Hello' }], {
 *   template: "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}",
 * }) // '<user>Hello'
 */
export function applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions): string {
  const variables = {
    ...options.specialTokens,
    messages: requireMessages(messages),
    tools: options.tools ?? null,
    documents: null,
    add_generation_prompt: options.addGenerationPrompt ?? false,
  }
  const template = parseTemplate(options.template)
  try {
    return withinTime(() => template.render(variables))
  } catch (cause) {
    throw templateError(cause)
  }
}

function parseTemplate(text: string): Template {
  if (text.length > MAX_TEMPLATE_LENGTH) {
    throw new TandemError('invalid-file', 'The chat template is too long', {
      expected: `at most ${MAX_TEMPLATE_LENGTH} characters`,
      received: `${text.length}`,
    })
  }
  try {
    return new Template(text)
  } catch (cause) {
    throw new TandemError('invalid-file', 'The chat template is not valid Jinja', {
      received: firstLine(cause),
      cause,
    })
  }
}

/** The interpreter has no limits of its own; V8 ends whatever a script started when the script's time is up. */
function withinTime(render: () => string): string {
  const context = Object.assign(Object.create(null) as object, { render })
  const run = () => new Script('render()').runInNewContext(context, { timeout: TIME_LIMIT_MS }) as string
  try {
    return run()
  } catch (cause) {
    if (!isTimeout(cause)) throw cause
    // The clock also runs while other programs have the processor: a busy machine once kept a thread waiting for a second.
    return run()
  }
}

function isTimeout(cause: unknown): boolean {
  return (cause as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}

function templateError(cause: unknown): TandemError {
  if (isTimeout(cause)) {
    return new TandemError('invalid-file', 'The chat template takes too long', {
      expected: `at most ${TIME_LIMIT_MS} ms`,
      cause,
    })
  }
  return new TandemError('invalid-argument', 'The chat template refuses these messages', {
    received: firstLine(cause),
    cause,
  })
}

function firstLine(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split('\n', 1).join()
}
