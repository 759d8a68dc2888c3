import { type Command, Option } from 'commander'
import { inspect, type ModelInspection } from '../../runtime/inspection.ts'
import type { MemoryEstimate } from '../../runtime/memory.ts'
import type { InspectedModule, InspectedParameter } from '../../runtime/module-tree.ts'
import { type CommandContext, positiveInteger } from '../arguments.ts'
import { moduleLines } from '../module-lines.ts'
import { byteSize, label } from '../ui.ts'

interface InspectArguments {
  contextSize?: number
  numBeams?: number
  sourceLength?: number
  kvType?: 'f32' | 'f16'
  quantize?: string
  json?: boolean
}

export function inspectCommand(command: Command, { terminal }: CommandContext): Command {
  return command
    .argument('<model>')
    .option('--quantize <type>')
    .option('--context-size <n>', '', positiveInteger)
    .option('--num-beams <n>', '', positiveInteger)
    .option('--source-length <n>', '', positiveInteger)
    .addOption(new Option('--kv-type <type>').choices(['f32', 'f16']))
    .option('--json')
    .action(async (model: string, { json, quantize, ...rest }: InspectArguments) => {
      const found = await inspect(model, { ...rest, ...(quantize === undefined ? {} : { quantization: quantize }) })
      for (const warning of found.warnings) terminal.notice(warning)
      terminal.out.write(json === true ? `${JSON.stringify(found)}\n` : `${report(found).join('\n')}\n`)
    })
}

/** Columns of the names that stand before values. */
const LABEL_WIDTH = 16

function report(found: ModelInspection): string[] {
  const { name, kind, architecture, quantization, maxPositions } = found
  const row = (title: string, value: string) => `${label(title, LABEL_WIDTH)}${value}`
  return [
    `${name}: ${kind} (${architecture})${quantization === null ? '' : `, ${quantization}`}`,
    found.path,
    '',
    ...structure(found.modules),
    '',
    row('Parameters', `${count(found.parameters)}, ${byteSize(found.bytes)}: ${types(found)}`),
    row('Positions', maxPositions === null ? 'no limit' : count(maxPositions)),
    row('Tokenizer', tokenizer(found)),
    row('Chat template', found.chatTemplate === null ? 'none' : template(found.chatTemplate)),
    ...Object.entries(found.generationConfig)
      .filter(([, value]) => value !== null)
      .map(([key, value], i) => row(i === 0 ? 'Generation' : '', `${key} = ${JSON.stringify(value)}`)),
    '',
    ...memory(found.memory),
  ]
}

/** The structure at the left as `print(model)` shows it, and at the right what each module holds. */
function structure(modules: InspectedModule): string[] {
  const lines = moduleLines(modules, contents)
  const width = Math.max(...lines.filter(({ note }) => note !== '').map(({ text }) => text.length))
  return lines.map(({ text, note }) => (note === '' ? text : `${text.padEnd(width)}  # ${note}`))
}

function contents({ parameters, parameterCount, bytes }: InspectedModule, times: number): string {
  const own = parameters.map(parameterText)
  const total = parameterCount === 0 ? [] : [`${count(parameterCount)}, ${byteSize(bytes)}`]
  const each = times > 1 && parameterCount > 0 ? ['each'] : []
  return [own.join(' + '), [...total, ...each].join(' ')].filter((text) => text !== '').join(' · ')
}

function parameterText({ name, shape, type, sourceType, sharedWith }: InspectedParameter): string {
  if (sharedWith !== undefined) return `same as ${sharedWith}`
  const last = name.slice(name.lastIndexOf('.') + 1)
  const types = sourceType === undefined || sourceType === type ? type : `${sourceType} as ${type}`
  return `${last === 'weight' ? '' : `${last} `}[${shape.join(', ')}] ${types}`
}

function types({ types: byType }: ModelInspection): string {
  return Object.entries(byType)
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([type, { tensors, bytes }]) => `${tensors} tensors in ${type} (${byteSize(bytes)})`)
    .join(', ')
}

function tokenizer({ tokenizer: { model, vocabularySize, specialTokens } }: ModelInspection): string {
  const specials = Object.entries(specialTokens).map(([role, { token, id }]) => `${role} ${token} (${id})`)
  return [`${model}, ${count(vocabularySize)} tokens`, ...specials].join(', ')
}

function template(text: string): string {
  const lines = text.split('\n').length
  return `${count(lines)} ${lines === 1 ? 'line' : 'lines'} (tandem template shows what it makes of a chat)`
}

function memory(estimate: MemoryEstimate): string[] {
  const { contextSize, numBeams, sourceLength, kvType } = estimate
  const rows: [string, number][] = [
    ['Program', estimate.program],
    ['Vocabulary', estimate.vocabulary],
    ['Weights', estimate.weights],
    ['Keys, values', estimate.keysAndValues],
    ['Computation', estimate.compute],
    ['Total', estimate.total],
  ]
  return [
    `Memory on a CPU with a context of ${count(contextSize)} tokens in ${kvType}, an input of ${count(sourceLength)}, ${
      numBeams === 1 ? 'one beam' : `${numBeams} beams`
    }:`,
    ...rows.map(([title, bytes]) => `${label(`  ${title}`, LABEL_WIDTH)}${byteSize(bytes).padStart(10)}`),
  ]
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
