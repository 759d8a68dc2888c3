import { describe, expect, it } from 'vitest'
import { applyChatTemplate } from '../../src/template/chat-template.ts'
import type { ChatMessage } from '../../src/template/messages.ts'
import { readChatTemplate, readTokenizer } from './reference.ts'

/** One file of tokenizer cases, made by transformers. */
export interface TokenizerCases {
  tokenizer: string
  transformers: string
  /** Tokens in the tokenizer, added ones included. */
  size: number
  cases: { text: string; ids: number[]; mask: number[]; decoded: string; decoded_skip: string }[]
  decode: { ids: number[]; decoded: string; decoded_skip: string }[]
  batch: { texts: string[]; side?: 'left' | 'right'; truncation?: number; ids: number[][]; mask: number[][] }[]
  chat?: { messages: ChatMessage[]; tools?: object[]; add_generation_prompt: boolean; text: string; ids: number[] }[]
}

/** Registers one test per kind of case of a file. */
export function describeTokenizerCases(golden: TokenizerCases, folder: string): void {
  const tokenizer = readTokenizer(folder)

  describe(`${golden.tokenizer} equals transformers ${golden.transformers}`, () => {
    it('has the same vocabulary size', () => expect(tokenizer.vocabularySize).toBe(golden.size))

    it(`encodes ${golden.cases.length} texts`, async () => {
      for (const { text, ids, mask } of golden.cases) {
        const encoded = await tokenizer.encode(text)
        expect({ text, ids: encoded.inputIds, mask: encoded.attentionMask }).toEqual({ text, ids, mask })
        expect(encoded.tokens).toEqual(tokenizer.tokens(ids))
      }
    })

    it(`decodes ${golden.cases.length + golden.decode.length} lists of ids, at once and as a stream`, () => {
      for (const { ids, decoded, decoded_skip } of [...golden.cases, ...golden.decode]) {
        expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text: decoded })
        expect({ ids, text: tokenizer.decode(ids, { skipSpecialTokens: true }) }).toEqual({ ids, text: decoded_skip })
        for (const [skipSpecialTokens, text] of [
          [false, decoded],
          [true, decoded_skip],
        ] as const) {
          const stream = tokenizer.decodeStream({ skipSpecialTokens })
          expect(ids.map((id) => stream.push(id)).join('') + stream.finish()).toBe(text)
        }
      }
    })

    it(`pads and truncates ${golden.batch.length} batches`, async () => {
      for (const { texts, side, truncation, ids, mask } of golden.batch) {
        const rows = await tokenizer.encodeBatch(texts, {
          ...(side === undefined ? {} : { paddingSide: side }),
          ...(truncation === undefined ? {} : { maxLength: truncation }),
        })
        expect(rows.map((row) => row.inputIds)).toEqual(ids)
        expect(rows.map((row) => row.attentionMask)).toEqual(mask)
      }
    })

    it.runIf(golden.chat !== undefined)(`renders ${golden.chat?.length} chats`, async () => {
      const template = readChatTemplate(folder) ?? ''
      for (const { messages, tools, add_generation_prompt: addGenerationPrompt, text, ids } of golden.chat ?? []) {
        const options = { template, addGenerationPrompt, ...(tools === undefined ? {} : { tools }) }
        expect(applyChatTemplate(messages, options)).toBe(text)
        expect((await tokenizer.encode(text, { addSpecialTokens: false })).inputIds).toEqual(ids)
      }
    })
  })
}
