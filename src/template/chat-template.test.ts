import { describe, expect, it } from 'vitest'
import { applyChatTemplate } from './chat-template.ts'
import type { ChatMessage } from './messages.ts'

const plain = `{%- for message in messages %}
    {{- '<' + message['role'] + '>' + message['content'] + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<assistant>' }}
{%- endif %}`

const chat: ChatMessage[] = [
  { role: 'system', content: '你是助手。' },
  { role: 'user', content: '你好 <b>&</b>' },
]

function render(template: string, messages: readonly ChatMessage[] = chat): string {
  return applyChatTemplate(messages, { template })
}

function coded(code: string): Error {
  return expect.objectContaining({ name: 'TandemError', code }) as Error
}

describe('applyChatTemplate', () => {
  it('renders messages as they are, without escaping', () => {
    expect(render(plain)).toBe('<system>你是助手。\n<user>你好 <b>&</b>\n')
    expect(applyChatTemplate(chat, { template: plain, addGenerationPrompt: true })).toMatch(/\n<assistant>$/)
  })

  it('knows special tokens and tools', () => {
    const template = '{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{{ tools is none }}'
    const tools = [{ type: 'function', function: { name: '查天气', parameters: {} } }]
    expect(applyChatTemplate(chat, { template, specialTokens: { bos_token: '<s>' }, tools })).toBe(
      '<s>[{"type": "function", "function": {"name": "查天气", "parameters": {}}}]false',
    )
    expect(applyChatTemplate(chat, { template, specialTokens: { bos_token: '<s>' } })).toBe('<s>true')
  })

  it('hands content in parts and calls of tools on', () => {
    const messages = [
      { role: 'user', content: [{ type: 'text', text: '看' }] },
      { role: 'assistant', content: null, tool_calls: [{ name: 'f' }] },
    ]
    const template = '{{ messages[0].content[0].text }}{{ messages[1].tool_calls[0].name }}'
    expect(render(template, messages)).toBe('看f')
  })

  it('passes on what a template says about the messages', () => {
    const template = "{{ raise_exception('Conversation roles must alternate') }}"
    expect(() => render(template)).toThrow(coded('invalid-argument'))
    expect(() => render(template)).toThrow(/Conversation roles must alternate/)
  })

  it.each([
    null,
    'hello',
    [],
    [null],
    ['hello'],
    [{ content: 'a' }],
    [{ role: '', content: 'a' }],
    [{ role: 5, content: 'a' }],
    [{ role: 'user' }],
    [{ role: 'user', content: 5 }],
    [{ role: 'user', content: ['a'] }],
    [{ role: 'assistant', content: null }],
  ])('refuses %j as messages', (messages) => {
    expect(() => render(plain, messages as unknown as ChatMessage[])).toThrow(coded('invalid-argument'))
  })

  it.each(['{% for %}', '{{ a', '{% if true %}', '{% endfor %}', `${'('.repeat(50_000)}`.replace(/^/, '{{')])(
    'refuses a template that does not parse (%#)',
    (template) => expect(() => render(template)).toThrow(coded('invalid-file')),
  )

  it('ends a template that would not end', () => {
    const endless = '{% for a in range(30000) %}{% for b in range(30000) %}{{ a }}{% endfor %}{% endfor %}'
    const begin = performance.now()
    expect(() => render(endless)).toThrow(/too long/)
    expect(performance.now() - begin).toBeLessThan(10_000)
    const recursion = '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'
    expect(() => render(recursion)).toThrow(coded('invalid-argument'))
  })

  it('gives a template no way into JavaScript', () => {
    for (const path of [
      'messages.constructor',
      "messages['__proto__']",
      "''.constructor.constructor('return process')()",
    ]) {
      let text = ''
      try {
        text = render(`{{ ${path} }}`)
      } catch (error) {
        expect(error).toEqual(coded('invalid-argument'))
      }
      expect(text).not.toMatch(/function|process|object/)
    }
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})
