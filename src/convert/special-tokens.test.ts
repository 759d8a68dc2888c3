import { describe, expect, it } from 'vitest'
import type { ModelFolder } from './folder.ts'
import { specialTokenKeys } from './special-tokens.ts'

const ADDED = [
  { id: 0, content: '<s>' },
  { id: 1, content: '</s>' },
  { id: 2, content: '<pad>' },
]

function keys(parts: { config?: object; tokenizerConfig?: object; tokenizer?: object; chatTemplate?: string }) {
  const file = (content: object) => ({ text: JSON.stringify(content), content: { ...content } })
  const folder: Omit<ModelFolder, 'weights'> = {
    name: 'test',
    config: file(parts.config ?? {}),
    generationConfig: undefined,
    tokenizer: file({ added_tokens: ADDED, ...parts.tokenizer }),
    tokenizerConfig: parts.tokenizerConfig === undefined ? undefined : file(parts.tokenizerConfig),
    chatTemplate: parts.chatTemplate,
  }
  const result = specialTokenKeys(folder, 10)
  return Object.fromEntries(Object.entries(result).map(([key, { value }]) => [key.replace('tokenizer.', ''), value]))
}

describe('special tokens', () => {
  it('come from tokenizer_config.json first, as text or as objects, then from config.json', () => {
    const tokenizerConfig = { bos_token: '<s>', eos_token: { content: '</s>', lstrip: false }, unk_token: null }
    const config = {
      bos_token_id: 7,
      eos_token_id: 8,
      pad_token_id: 2,
      unk_token_id: 3,
      sep_token_id: 4,
      mask_token_id: 5,
    }
    expect(keys({ config, tokenizerConfig })).toEqual({
      'ggml.bos_token_id': 0,
      'ggml.eos_token_id': 1,
      'ggml.padding_token_id': 2,
      'ggml.unknown_token_id': 3,
      'ggml.seperator_token_id': 4,
      'ggml.mask_token_id': 5,
    })
  })

  it('that are unknown, lists or outside the vocabulary are left out', () => {
    const config = { bos_token_id: 10, eos_token_id: [1, 2], pad_token_id: -1, unk_token_id: '3' }
    expect(keys({ config, tokenizerConfig: { sep_token: '<nowhere>' } })).toEqual({})
    expect(keys({ tokenizerConfig: { bos_token: '<s>' }, tokenizer: { added_tokens: 7 } })).toEqual({})
  })

  it('are added where tokenizer_config.json says so, else where the template has them', () => {
    const single = [
      { SpecialToken: { id: '<s>', type_id: 0 } },
      { Sequence: { id: 'A' } },
      { SpecialToken: { id: '</s>' } },
    ]
    const template = { type: 'TemplateProcessing', single }
    const names = { bos_token: '<s>', eos_token: '</s>' }
    const flags = { 'ggml.add_bos_token': true, 'ggml.add_eos_token': true }
    expect(keys({ tokenizerConfig: names, tokenizer: { post_processor: template } })).toMatchObject(flags)
    const nested = { type: 'Sequence', processors: [{ type: 'ByteLevel' }, template] }
    expect(keys({ tokenizerConfig: names, tokenizer: { post_processor: nested } })).toMatchObject(flags)
    const said = { ...names, add_bos_token: false, add_eos_token: null }
    expect(keys({ tokenizerConfig: said, tokenizer: { post_processor: template } })).toMatchObject({
      'ggml.add_bos_token': false,
      'ggml.add_eos_token': true,
    })
    expect(keys({ tokenizer: { post_processor: { type: 'TemplateProcessing', single: [] } } })).toEqual({})
  })
})

describe('chat templates', () => {
  it('come from chat_template.jinja first', () => {
    const tokenizerConfig = { chat_template: 'from the config' }
    expect(keys({ tokenizerConfig })).toEqual({ chat_template: 'from the config' })
    expect(keys({ tokenizerConfig, chatTemplate: 'from the file' })).toEqual({ chat_template: 'from the file' })
  })

  it('may be several with names', () => {
    const templates = [
      { name: 'default', template: 'plain' },
      { name: 'tool use', template: 'with tools' },
      { name: 'broken' },
      'no object',
    ]
    expect(keys({ tokenizerConfig: { chat_template: templates } })).toEqual({
      chat_template: 'plain',
      'chat_template.tool_use': 'with tools',
      chat_templates: ['tool_use'],
    })
  })

  it.each([7, null, {}, ''])('of another form (%j) are left out', (template) => {
    expect(keys({ tokenizerConfig: { chat_template: template } })).toEqual({})
  })
})
