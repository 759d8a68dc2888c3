import { applyChatTemplate } from '../../src/template/chat-template.ts'
import type { ChatMessage } from '../../src/template/messages.ts'
import { mutateJson } from './json-mutation.ts'
import type { Random } from './random.ts'
import { type FuzzTarget, type Outcome, outcomeOf } from './target.ts'

const TEMPLATES = [
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
  "{%- if tools %}{{- '# Tools' }}{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}{%- endif %}{%- for m in messages %}{%- if m.role == 'user' and not loop.first %}{{ m.content | trim }}{%- elif m.tool_calls %}{{ m.tool_calls[0].name }}{%- endif %}{%- endfor %}",
  "{% set ns = namespace(found=false, text='') %}{% for m in messages if m.role != 'system' %}{% set ns.text = ns.text ~ m.content %}{% endfor %}{{ bos_token }}{{ ns.text | upper | replace('A', 'b') }}",
  "{% macro show(m, depth=0) %}{{ ' ' * depth }}{{ m.role | title }}: {{ m.content | default('nothing', true) }}{% endmacro %}{{ show(messages[0]) }}{{ messages | length }}{{ messages[1:] | map(attribute='role') | join(', ') }}",
  "{{ raise_exception('no') if messages[0]['role'] == 'assistant' else strftime_now('%Y') }}",
] as const
const FRAGMENTS = [
  ...[
    '{{',
    '}}',
    '{%',
    '%}',
    '{#',
    '#}',
    '-',
    '|',
    '(',
    ')',
    '[',
    ']',
    "'",
    '"',
    '.',
    ',',
    ':',
    '=',
    '~',
    '+',
    '*',
    '%',
    '<',
    '!=',
  ],
  ...[
    'for',
    'endfor',
    'if',
    'else',
    'endif',
    'in',
    'is',
    'not',
    'and',
    'set',
    'macro',
    'endmacro',
    'call',
    'endcall',
    'filter',
  ],
  ...[
    'range(9999999)',
    'messages',
    'loop.index',
    'constructor',
    '__proto__',
    'prototype',
    "['constructor']",
    'self',
    'namespace()',
  ],
  ...[
    'tojson',
    'join',
    'length',
    'sort',
    'selectattr',
    'map',
    'items',
    'split',
    'none',
    'true',
    '1e400',
    '-1',
    '9'.repeat(40),
    '\0',
    '中',
  ],
] as const
const MESSAGES = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: '你好 <|im_end|> {{ 7 * 7 }}' },
  { role: 'assistant', content: null, tool_calls: [{ name: 'f', arguments: { a: [1, 2] } }] },
  { role: 'user', content: [{ type: 'text', text: 'x' }] },
]
const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }]

/** Chat templates that have lost or won pieces, with messages of every kind. */
export function chatTemplateTarget(): FuzzTarget {
  return { run }
}

async function run(random: Random): Promise<Outcome> {
  const template = random.chance(0.9) ? changed(random.pick(TEMPLATES), random) : pieces(random)
  const messages = random.chance(0.3) ? mutateJson(MESSAGES, random) : MESSAGES
  const tools = random.chance(0.3) ? (mutateJson(TOOLS, random) as object[]) : undefined
  return outcomeOf(() => {
    const text = applyChatTemplate(messages as ChatMessage[], {
      template,
      addGenerationPrompt: random.chance(0.5),
      specialTokens: { bos_token: '<s>' },
      ...(Array.isArray(tools) ? { tools } : {}),
    })
    if (typeof text !== 'string') throw new Error('The template gave no text')
    // The source of a function would mean that a template can reach JavaScript.
    if (/\[native code\]|function Object/.test(text))
      throw new Error(`The template reached JavaScript: ${text.slice(0, 200)}`)
    if (Object.keys(Object.prototype).length > 0) throw new Error('Object.prototype was changed')
  })
}

function changed(template: string, random: Random): string {
  let text = template
  const changes = 1 + random.below(3)
  for (let i = 0; i < changes; i++) {
    const at = random.below(text.length + 1)
    text = `${text.slice(0, at)}${random.pick(FRAGMENTS)}${text.slice(at + random.below(6))}`
  }
  return text
}

function pieces(random: Random): string {
  return Array.from({ length: 1 + random.below(30) }, () => random.pick(FRAGMENTS)).join(random.pick(['', ' ']))
}
