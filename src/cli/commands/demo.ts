import type { Command } from 'commander'
import type { GenerationInput } from '../../runtime/input.ts'
import type { GenerateOptions, LanguageModel } from '../../runtime/language-model.ts'
import type { CommandContext } from '../arguments.ts'
import { loadModel } from '../load-model.ts'
import { styled, type Terminal } from '../terminal.ts'
import { label } from '../ui.ts'

/** One of the tutorial's two programs. */
interface Lesson {
  model: string
  title: string
  prompts: readonly string[]
  input(prompt: string): GenerationInput
  options: GenerateOptions
}

const LESSONS: readonly Lesson[] = [
  {
    model: 'nano-chatlm',
    title: 'encoder-decoder: reads once, then writes · 编码器-解码器：先读，再写',
    prompts: ['请把下面的话翻译为英语:你好吗?', '请把下面的话翻译为中文:Thank you very much.'],
    input: (prompt) => prompt,
    // ChatLM's own program ends every prompt with [EOS]; its tokenizer does not.
    options: { appendEos: true, maxNewTokens: 128 },
  },
  {
    model: 'nano-qwen',
    title: 'decoder-only: goes on where the template stops · 仅解码器：接着模板写',
    prompts: ['你是谁?', '中国的首都是哪里?'],
    input: (prompt) => [{ role: 'user', content: prompt }],
    options: { doSample: false, maxNewTokens: 128 },
  },
]

/** Columns of the widest label. */
const LABEL_WIDTH = 15

export function demoCommand(command: Command, context: CommandContext): Command {
  const { out } = context.terminal
  return command.option('--device <device>').action(async (parsed: { device?: string }) => {
    for (const [index, { model: name, title, prompts, input, options }] of LESSONS.entries()) {
      out.write(`${index === 0 ? '' : '\n'}${styled(out, 'bold', `${index + 1}. ${name} — ${title}`)}\n\n`)
      await using model = await loadModel({ ...parsed, model: name }, context)
      for (const [what, value] of structure(model)) out.write(line(what, value))
      for (const prompt of prompts) {
        out.write(`\n${line('prompt 提示', prompt)}`)
        await answer(model, input(prompt), { ...options, signal: context.signal }, context.terminal)
      }
    }
  })
}

/** What goes into the model, the answer as it comes, and how fast it was. */
async function answer(
  model: LanguageModel,
  input: GenerationInput,
  options: GenerateOptions,
  { out }: Terminal,
): Promise<void> {
  const { text = '', inputIds, attentionMask = inputIds.map(() => 1) } = await model.encode(input, options)
  if (typeof input !== 'string') out.write(line('template 模板', text.trimEnd()))
  out.write(line('input ids 输入', abbreviated(inputIds)))
  out.write(line('mask 掩码', abbreviated(attentionMask)))
  out.write(`  ${label('answer 回答', LABEL_WIDTH)}`)
  const stream = model.stream(input, options)
  for await (const piece of stream) out.write(piece)
  const { ids, timings } = await stream
  const ms = timings.encodeMs + timings.decodeMs
  out.write(`\n${line('output ids 输出', abbreviated(ids))}`)
  out.write(
    line(
      'speed 速度',
      `${ids.length} tokens in ${ms.toFixed(0)} ms, ${((ids.length * 1000) / ms).toFixed(0)} tokens/s`,
    ),
  )
}

function structure({ file, device, decoder }: LanguageModel): [string, string][] {
  const { config } = file
  const number = (...names: string[]): unknown => names.map((name) => config[name]).find((value) => value !== undefined)
  const parameters = file.gguf.tensors.reduce((sum, { shape }) => sum + shape.reduce((size, n) => size * n, 1), 0)
  const layers =
    file.architecture === 't5'
      ? `${number('num_layers')} in the encoder, ${number('num_decoder_layers', 'num_layers')} in the decoder`
      : `${number('num_hidden_layers')}`
  return [
    ['layers 层', layers],
    ['width 宽度', `${number('d_model', 'hidden_size')}, feed-forward ${number('d_ff', 'intermediate_size')}`],
    ['heads 注意力头', `${number('num_heads', 'num_attention_heads')}`],
    ['vocabulary 词表', `${decoder.vocabularySize} tokens`],
    ['parameters 参数', `${(parameters / 1e6).toFixed(2)} million, stored as ${file.quantization ?? 'in the file'}`],
    ['device 设备', device],
  ]
}

/** A name and its value; further lines of the value stand below the first. */
function line(name: string, value: string): string {
  return `  ${label(name, LABEL_WIDTH)}${value.replaceAll('\n', `\n${' '.repeat(LABEL_WIDTH + 4)}`)}\n`
}

function abbreviated(ids: readonly number[]): string {
  const shown = ids.slice(0, 20).join(' ')
  return ids.length > 20 ? `${shown} … (${ids.length})` : shown
}
