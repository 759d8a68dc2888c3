import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { applyChatTemplate } from '../../src/template/chat-template.ts'
import type { ChatMessage } from '../../src/template/messages.ts'
import { readChatTemplate, readJson, tokenizerFolder } from './reference.ts'

/** Made by scripts/golden/text_reference.py. */
interface ChatCases {
  tokenizer: string
  transformers: string
  chat: { messages: ChatMessage[]; tools?: object[]; add_generation_prompt: boolean; text: string }[]
}

const golden = readJson<ChatCases>(fileURLToPath(new URL('chat-qwen2_5.json', import.meta.url)))

describe(`Qwen2.5's template as transformers ${golden.transformers} renders it`, () => {
  const template = readChatTemplate(tokenizerFolder(`npm:${golden.tokenizer}`)) ?? ''

  it.each(golden.chat)('case %$', ({ messages, tools, add_generation_prompt: addGenerationPrompt, text }) => {
    const options = { template, addGenerationPrompt, ...(tools === undefined ? {} : { tools }) }
    expect(applyChatTemplate(messages, options)).toBe(text)
  })
})
