import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LanguageModel } from '../../src/runtime/language-model.ts'
import { load } from '../../src/runtime/load.ts'
import type { ChatMessage } from '../../src/template/messages.ts'
import { readJson } from './reference.ts'

/** Made by scripts/golden/foreign_gguf.py; `llama` is what llama.cpp's own tokenizer says. */
interface Reference {
  transformers: string
  size: number
  specialTokens: Record<string, string>
  eosTokenIds: number[]
  maxPositions: number
  cases: { text: string; ids: number[]; plain: number[]; llama: number[]; decoded: string; decoded_skip: string }[]
  decode: { ids: number[]; decoded: string; decoded_skip: string }[]
  chat: { messages: ChatMessage[]; text: string; ids: number[]; llama: number[] }[]
  greedy: { inputIds: number[]; ids: number[]; text: string }[]
}

/**
 * Where llama.cpp's tokenizers are known to differ from transformers: it puts a space before every text of a
 * SentencePiece vocabulary, and does not bring characters into NFC.
 */
const OTHER_IDS: Readonly<Record<string, readonly string[]>> = {
  'tiny-llama': [
    ' ',
    '   ',
    ' The cat is in the house. ',
    'a <s> b<s>c <s>',
    'a </s> b</s>c </s>',
    'a <unk> b<unk>c <unk>',
  ],
  'tiny-qwen3': ['e\u0301clair'],
}

const folder = fileURLToPath(new URL('foreign/', import.meta.url))
const names = readdirSync(folder).filter((file) => file.endsWith('.gguf'))

for (const name of names.map((file) => file.slice(0, -'.gguf'.length))) {
  const golden = readJson<Reference>(`${folder}${name}.json`)

  /** Phi-3's `</s>` is not special for transformers, but a control token in the file. */
  const controlsRemoved = (text: string, skipsSpecialTokens: boolean) =>
    name === 'tiny-phi-3' && skipsSpecialTokens ? text.replaceAll('</s>', '') : text

  describe(`${name}, which llama.cpp's converter made, equals transformers ${golden.transformers}`, () => {
    let model: LanguageModel
    beforeAll(async () => {
      model = await load(`${folder}${name}.gguf`, { device: 'cpu', threads: 1 })
    })
    afterAll(() => model?.dispose())

    it(`in greedy search from ${golden.greedy.length} prompts`, async () => {
      expect(golden.greedy.length).toBeGreaterThan(0)
      for (const { inputIds, ids, text } of golden.greedy) {
        const result = await model.generate({ inputIds }, { maxNewTokens: 24, doSample: false })
        expect({ inputIds, ids: result.sequences[0]?.ids }).toEqual({ inputIds, ids })
        if (!text.includes('\uFFFD')) expect(result.text).toBe(controlsRemoved(text, true))
      }
    })

    it('in what ends and fills texts, in its special tokens and in its length', () => {
      const { eosTokenIds } = model.resolve({})
      expect([...eosTokenIds].sort()).toEqual([...golden.eosTokenIds].sort())
      expect(model.tokenizer.specialTokens).toMatchObject(golden.specialTokens)
      expect(model.contextSize).toBe(golden.maxPositions)
    })

    it(`in the ids of ${golden.cases.length} texts`, async () => {
      const others = OTHER_IDS[name] ?? []
      for (const { text, ids, plain, llama } of golden.cases) {
        const { inputIds, tokens } = await model.tokenizer.encode(text, { addSpecialTokens: false })
        expect({ text, inputIds }).toEqual({ text, inputIds: llama })
        expect(tokens).toEqual(model.tokenizer.tokens(inputIds))
        expect({ text, differs: others.includes(text) }).toEqual({ text, differs: String(llama) !== String(plain) })
        if (!others.includes(text)) expect((await model.tokenizer.encode(text)).inputIds).toEqual(ids)
      }
    })

    it('in the texts of ids, at once and as a stream', () => {
      const spoils = model.tokenizer.byteSpelling === 'byte-fallback'
      for (const { ids, decoded, decoded_skip } of [...golden.cases, ...golden.decode]) {
        for (const [skipSpecialTokens, reference] of [
          [false, decoded],
          [true, decoded_skip],
        ] as const) {
          const text = model.tokenizer.decode(ids, { skipSpecialTokens })
          // Bytes that are no UTF-8 spoil the whole run of bytes in transformers, and only themselves in llama.cpp.
          if (spoils && reference.includes('\uFFFD')) expect(text).toContain('\uFFFD')
          else expect({ ids, text }).toEqual({ ids, text: controlsRemoved(reference, skipSpecialTokens) })
          const stream = model.tokenizer.decodeStream({ skipSpecialTokens })
          expect(ids.map((id) => stream.push(id)).join('') + stream.finish()).toBe(text)
        }
      }
    })

    it.runIf(golden.chat.length > 0)('in chats', async () => {
      for (const { messages, text, ids } of golden.chat) {
        const encoded = await model.encode(messages)
        expect({ text: encoded.text, ids: encoded.inputIds }).toEqual({ text, ids })
      }
    })
  })
}
