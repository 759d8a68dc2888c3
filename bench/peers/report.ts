import { TANDEM } from './contenders.ts'
import type { Environment } from './environment.ts'
import { advantage, bestOfPeers, type MeasuredLine, type Result } from './measure.ts'

export interface MeasuredTable {
  name: string
  title: string
  lines: MeasuredLine[]
}

/** Ours on others' kernels: shown, but nobody to compare with where the question is which program to take. */
const NOT_A_PROGRAM = "llama.cpp's kernels"

/** docs/benchmarks.md. */
export function benchmarksDocument(tables: readonly MeasuredTable[], environment: Environment): string {
  const losses = tables.flatMap(({ title, lines }) => lines.flatMap((line) => lossOf(title, line)))
  const parts = [
    '# Benchmarks',
    introduction(environment),
    ...tables.map(
      ({ name, title, lines }) =>
        `## ${title}\n\n${tableOf(lines)}\n\n${failuresOf(lines)}\`npm run bench -- --only ${name}\``,
    ),
    `## Where Tandem loses\n\n${losses.length === 0 ? 'In none of these lines.' : losses.join('\n')}`,
    `## How it is measured\n\n${METHOD}`,
  ]
  return `${parts.join('\n\n')}\n`
}

function introduction({ date, machine, limit, versions, turns }: Environment): string {
  const rows = [
    ['date', date],
    ...Object.entries(machine),
    ...Object.entries(versions),
    ['medians of', `${turns} turns`],
  ]
  return [
    'Written by `npm run bench`, which makes the models, installs the peers outside of the repository, lets all of them take',
    'turns in one run and measures every peer at its best setting. Times of a machine that does other work are worth little;',
    'the ratios and the distance to the limit of the memory are worth more.',
    '',
    '| | |',
    '|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    '',
    ...limit.map(
      ({ model, stepBytes, readBandwidth }) =>
        `A step of ${model} reads ${(stepBytes / 1e6).toFixed(0)} MB of weights; at the ${(readBandwidth / 1e9).toFixed(1)} GB/s at which this machine reads memory that takes ${((stepBytes * 1000) / readBandwidth).toFixed(2)} ms, whatever the program.`,
    ),
  ].join('\n')
}

function tableOf(lines: readonly MeasuredLine[]): string {
  const peers = [...new Set(lines.flatMap(({ results }) => results.map(({ peer }) => peer)))]
  const header = ['', ...peers, 'best peer ÷ Tandem']
  const rows = lines.map((line) => {
    const best = bestOfPeers(line)
    const cells = peers.map((peer) => cell(best.find((result) => result.peer === peer)))
    return [`${line.title} (${line.unit})`, ...cells, ratio(line)]
  })
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function failuresOf(lines: readonly MeasuredLine[]): string {
  return lines.flatMap(({ title, failures }) => failures.map((text) => `Not measured (${title}): ${text}\n\n`)).join('')
}

function cell(result: Result | undefined): string {
  return result === undefined ? '–' : `${digits(result.value)} (${result.setting})`
}

function ratio(line: MeasuredLine): string {
  const found = comparison(line)
  return found === undefined ? '–' : `**${found.advantage.toFixed(2)} ×**`
}

interface Comparison {
  best: Result
  advantage: number
}

/** Tandem against the peer that does best. */
function comparison(line: MeasuredLine): Comparison | undefined {
  const best = bestOfPeers(line)
  const ours = best.find(({ peer }) => peer === TANDEM)
  const others = best.filter(({ peer }) => peer !== TANDEM && peer !== NOT_A_PROGRAM)
  if (ours === undefined) return undefined
  return others
    .map((theirs): Comparison => ({ best: theirs, advantage: advantage(line, ours, theirs) }))
    .sort((a, b) => a.advantage - b.advantage)[0]
}

function lossOf(title: string, line: MeasuredLine): string[] {
  const found = comparison(line)
  if (found === undefined || found.advantage >= 1) return []
  return [`- ${title}, ${line.title}: ${found.best.peer} is ${(1 / found.advantage).toFixed(2)} times better.`]
}

/** Three digits. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

const METHOD = `- The models have the shapes of ChatLM-mini-Chinese (T5: d_model 768, 12 heads of 64, d_ff 3072 with relu, 10 + 10 layers, 29298
  tokens) and Qwen2.5-0.5B, with weights from an integer hash: the speed does not depend on what the weights are.
- Each program at each setting runs in a process of its own, answers the same requests, and searches as its users let it
  search: \`generate\` of Tandem and of transformers, \`translate_batch\` and \`generate_batch\` of CTranslate2, \`evaluate\` of
  node-llama-cpp. Every text gets exactly as many tokens as were asked for.
- A step is the difference between 33 new tokens and one, over 32. A prompt is read when the first token is there.
- Loading begins in a process that has already imported its library, with the file in the cache of the system. Memory is
  what a process has resident at most that loads the model and writes 64 tokens.
- "llama.cpp's kernels" is Tandem with \`TANDEM_KERNELS=ggml\`: the matrix products of the libraries of node-llama-cpp.
- Between two turns everything rests for 300 ms, so that no thread that still spins for one program takes a core from the
  next.`
