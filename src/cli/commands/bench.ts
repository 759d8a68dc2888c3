import type { Command } from 'commander'
import { type ModelMeasurement, measureModel } from '../../runtime/measurement.ts'
import {
  addEngineOptions,
  type CommandContext,
  type EngineArguments,
  loadOptions,
  positiveInteger,
} from '../arguments.ts'
import { styled } from '../terminal.ts'
import { bar, label, ProgressBar } from '../ui.ts'

interface BenchArguments extends EngineArguments {
  repetitions?: number
  json?: boolean
}

export function benchCommand(command: Command, context: CommandContext): Command {
  const { terminal } = context
  return addEngineOptions(command)
    .option('--repetitions <n>', '', positiveInteger)
    .option('--json')
    .action(async ({ repetitions, json, ...parsed }: BenchArguments) => {
      const progress = new ProgressBar(terminal.canvas, `Measuring ${parsed.model}`)
      try {
        const measured = await measureModel(parsed.model, {
          ...(await loadOptions(parsed, context)),
          ...(repetitions === undefined ? {} : { repetitions }),
          onMeasured: ({ done, total }) => {
            progress.update(done, total)
            terminal.detail('measured', `${done} of ${total}`)
          },
        })
        progress.end()
        terminal.out.write(
          json === true ? `${JSON.stringify(measured)}\n` : `${report(measured, terminal.out).join('\n')}\n`,
        )
      } finally {
        progress.end()
      }
    })
}

/** Columns of the names before values, and of a bar. */
const LABEL_WIDTH = 12
const BAR_WIDTH = 24

function report(measured: ModelMeasurement, out: NodeJS.WriteStream): string[] {
  const { architecture, quantization, device, threads, repetitions, prompts, steps, kind } = measured
  const title = (text: string) => styled(out, 'bold', text)
  const types = quantization === null ? '' : `, ${quantization}`
  return [
    title(`${measured.path}`),
    `${architecture}${types}, on ${device} with ${threads} ${threads === 1 ? 'thread' : 'threads'}; medians of ${repetitions} ${
      repetitions === 1 ? 'repetition' : 'repetitions'
    }`,
    '',
    `${label('Load', LABEL_WIDTH)}${milliseconds(measured.loadMs)} ms`,
    `${label('Weights', LABEL_WIDTH)}${megabytes(measured.weightBytes)}, of which a step reads ${megabytes(measured.stepBytes)}`,
    ...memoryLines(measured),
    `${label('TypeScript', LABEL_WIDTH)}${percent(measured.typescriptShare)} of a step`,
    '',
    title(kind === 'encoder-decoder' ? 'Reading a source' : 'Reading a prompt'),
    ...table(
      ['tokens', 'ms', 'tokens/s'],
      prompts.map(({ length, ms, tokensPerSecond }) => [String(length), milliseconds(ms), tokensPerSecond.toFixed(0)]),
      prompts.map(({ tokensPerSecond }) => tokensPerSecond),
    ),
    '',
    title('Steps, each a token for every beam'),
    ...table(
      ['tokens', 'beams', 'ms', 'steps/s', 'GB/s', 'of limit'],
      steps.map(({ sourceLength, beams, ms, readBandwidth }) => [
        String(sourceLength),
        String(beams),
        milliseconds(ms),
        (1000 / ms).toFixed(1),
        (readBandwidth / 1e9).toFixed(1),
        measured.memory === null ? '–' : percent(measured.memory.stepMs / ms),
      ]),
      steps.map(({ ms }) => ms),
    ),
  ]
}

function memoryLines({ memory }: ModelMeasurement): string[] {
  if (memory === null) return []
  const { readBandwidth, stepMs } = memory
  return [
    `${label('Memory', LABEL_WIDTH)}${(readBandwidth / 1e9).toFixed(1)} GB/s; a step's weights take ${milliseconds(stepMs)} ms at least, unless a cache holds them`,
  ]
}

/** Right-aligned columns, and behind each row a bar for its value. */
function table(headings: readonly string[], rows: readonly (readonly string[])[], values: readonly number[]): string[] {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padStart((widths[i] ?? 0) + 2)).join('')
  const most = Math.max(...values)
  return [line(headings), ...rows.map((row, i) => `${line(row)}  ${bar(values[i] ?? 0, most, BAR_WIDTH)}`)]
}

/** Three digits, whatever the size. */
function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`
}
