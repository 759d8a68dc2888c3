import type { GgufValue } from '../formats/gguf/types.ts'
import { isJsonObject, type JsonObject } from './fields.ts'
import type { ModelFolder } from './folder.ts'

/** Roles of special tokens: Hugging Face's name, GGUF's key, and whether there is a key that says to add it. */
const ROLES = [
  { role: 'bos', key: 'bos_token_id', addable: true },
  { role: 'eos', key: 'eos_token_id', addable: true },
  { role: 'unk', key: 'unknown_token_id', addable: false },
  { role: 'sep', key: 'seperator_token_id', addable: true },
  { role: 'pad', key: 'padding_token_id', addable: false },
  { role: 'mask', key: 'mask_token_id', addable: false },
] as const

/**
 * Ids of special tokens, whether to add them, and chat templates, by the rules of the reference (gguf-py's
 * SpecialVocab): the text in tokenizer_config.json goes before the id in config.json.
 */
export function specialTokenKeys(folder: Omit<ModelFolder, 'weights'>, size: number): Record<string, GgufValue> {
  const keys: Record<string, GgufValue> = {}
  const config = folder.tokenizerConfig?.content ?? {}
  const added = folder.tokenizer.content['added_tokens']
  const template = templateFlags(folder.tokenizer.content['post_processor'], config)
  for (const { role, key, addable } of ROLES) {
    const id = idOf(config[`${role}_token`], added) ?? folder.config.content[`${role}_token_id`]
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < size) {
      keys[`tokenizer.ggml.${key}`] = { type: 'uint32', value: id }
    }
    const flag = config[`add_${role}_token`]
    const add = typeof flag === 'boolean' ? flag : template[role]
    if (addable && add !== undefined) keys[`tokenizer.ggml.add_${role}_token`] = { type: 'bool', value: add }
  }
  return { ...keys, ...chatTemplateKeys(folder.chatTemplate ?? config['chat_template']) }
}

/** The id of a token that is given as text, or as an object with its text. */
function idOf(token: unknown, added: unknown): unknown {
  const content = isJsonObject(token) ? token['content'] : token
  if (typeof content !== 'string' || !Array.isArray(added)) return undefined
  const entry: unknown = added.find((candidate) => isJsonObject(candidate) && candidate['content'] === content)
  return isJsonObject(entry) ? entry['id'] : undefined
}

/** Whether the tokenizer's template for one text begins with the bos token and ends with the eos token. */
function templateFlags(postProcessor: unknown, config: JsonObject): Partial<Record<string, boolean>> {
  const processors = isJsonObject(postProcessor) ? (postProcessor['processors'] ?? [postProcessor]) : []
  const template = Array.isArray(processors) ? processors.find(isTemplate) : undefined
  const single: unknown = template?.['single']
  if (!Array.isArray(single) || single.length < 2) return {}
  const first = specialId(single[0])
  const last = specialId(single.at(-1))
  return {
    ...(first === undefined
      ? {}
      : { bos: first === contentOf(config['bos_token']) || first === contentOf(config['cls_token']) }),
    ...(last === undefined ? {} : { eos: last === contentOf(config['eos_token']) }),
  }
}

function isTemplate(processor: unknown): processor is JsonObject {
  return isJsonObject(processor) && processor['type'] === 'TemplateProcessing'
}

function specialId(piece: unknown): unknown {
  const special = isJsonObject(piece) ? piece['SpecialToken'] : undefined
  return isJsonObject(special) ? special['id'] : undefined
}

function contentOf(token: unknown): unknown {
  return isJsonObject(token) ? token['content'] : token
}

/** A single template, or several with names of which `default` is the one to use. */
export function chatTemplateKeys(template: unknown): Record<string, GgufValue> {
  if (typeof template === 'string' && template !== '')
    return { 'tokenizer.chat_template': { type: 'string', value: template } }
  if (!Array.isArray(template)) return {}
  const keys: Record<string, GgufValue> = {}
  const names = new Set<string>()
  for (const entry of template) {
    if (!isJsonObject(entry) || typeof entry['name'] !== 'string' || typeof entry['template'] !== 'string') continue
    const name = entry['name'].replaceAll(/[^a-zA-Z0-9]/g, '_')
    if (name !== 'default') names.add(name)
    keys[name === 'default' ? 'tokenizer.chat_template' : `tokenizer.chat_template.${name}`] = {
      type: 'string',
      value: entry['template'],
    }
  }
  if (names.size > 0) keys['tokenizer.chat_templates'] = { type: 'array', items: 'string', value: [...names] }
  return keys
}
