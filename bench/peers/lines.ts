import type { Work } from './contender.ts'
import type { Field } from './contenders.ts'
import type { Shape } from './shapes.ts'

/** One line of the tables: a work and how its number is shown. */
export interface Line {
  title: string
  shape: Shape
  work: Work
  field: Field
  /** How often all contenders take their turn, if not as often as asked for. */
  turns?: number
  /** A program that keeps one core busy meanwhile. */
  isBusy?: boolean
  unit: string
  /** From what `Contender.measure` returns to the unit; the identity if left out. */
  convert?: (value: number) => number
}

export interface Table {
  title: string
  lines: Line[]
  /** Shows each number of threads in a line of its own. */
  byThreads?: boolean
}

const STEPS = 32
const BATCH = { sources: 64, beams: 5, newTokens: 64 }

const seconds = (ms: number) => ms / 1000
const megabytes = (bytes: number) => bytes / 1e6
const perSecond = (count: number) => (ms: number) => (count * 1000) / ms

function step(shape: Shape, length: number, beams: number, more: Partial<Line> = {}): Line {
  const source = shape === 'chatlm' ? 'source' : 'prompt'
  return {
    title: `${beams} ${beams === 1 ? 'beam' : 'beams'}, ${source} of ${length}`,
    shape,
    work: { kind: 'step', length, beams, steps: STEPS },
    field: 'all',
    unit: 'ms a step',
    ...more,
  }
}

const encode: Line = {
  title: 'source of 512',
  shape: 'chatlm',
  work: { kind: 'prompt', length: 512 },
  field: 'all',
  unit: 'ms',
}

/** Lengths from 20 to 120 without order. */
const batchLengths = Array.from({ length: BATCH.sources }, (_, i) => 20 + ((i * 37) % 101))
const load = { work: { kind: 'load', length: 16 }, field: 'all', unit: 's', convert: seconds } as const
const memory = {
  work: { kind: 'memory', length: 512, beams: 5, newTokens: 64 },
  field: 'all',
  unit: 'MB',
  convert: megabytes,
  turns: 1,
} as const

/** Every table by the name that `--only` knows. Those of a model stand together, since it stays loaded for them. */
export const TABLES: Readonly<Record<string, Table>> = {
  't5-decode': {
    title: 'T5: a decoder step',
    lines: [16, 128, 512].flatMap((length) => [1, 5].map((beams) => step('chatlm', length, beams))),
  },
  't5-growth': {
    title: 'T5: how a step grows',
    lines: [
      ...[2, 10, 20].map((beams) => step('chatlm', 128, beams, { field: 'fast' })),
      step('chatlm', 1024, 5, { field: 'fast' }),
    ],
  },
  't5-threads': {
    title: 'T5: how threads share it',
    lines: [
      step('chatlm', 128, 1, { field: 'threads' }),
      step('chatlm', 128, 5, { field: 'threads' }),
      { ...encode, field: 'threads' },
    ],
    byThreads: true,
  },
  't5-busy': {
    title: 'T5: a decoder step while another program keeps one core busy',
    lines: [step('chatlm', 128, 5, { isBusy: true, field: 'fast' })],
  },
  't5-encode': {
    title: 'T5: a source until the first token',
    lines: [encode],
  },
  't5-batch': {
    title: `T5: ${BATCH.sources} sources of 20 to 120 tokens, ${BATCH.beams} beams, ${BATCH.newTokens} new tokens each`,
    lines: [
      {
        title: 'all of them',
        shape: 'chatlm',
        work: { kind: 'batch', lengths: batchLengths, beams: BATCH.beams, newTokens: BATCH.newTokens },
        field: 'batch',
        turns: 1,
        unit: 'new tokens/s',
        convert: perSecond(BATCH.sources * BATCH.newTokens),
      },
    ],
  },
  't5-load': {
    title: 'T5: from a file to the first token',
    lines: [{ ...load, title: 'source of 16', shape: 'chatlm' }],
  },
  't5-memory': {
    title: 'T5: resident memory of the whole process, at most',
    lines: [{ ...memory, title: '5 beams, source of 512', shape: 'chatlm' }],
  },
  'qwen2-prompt': {
    title: 'Qwen2: reading a prompt',
    lines: [
      {
        title: 'prompt of 512',
        shape: 'qwen2.5-0.5b',
        work: { kind: 'prompt', length: 512 },
        field: 'all',
        unit: 'tokens/s',
        convert: perSecond(512),
      },
    ],
  },
  'qwen2-decode': {
    title: 'Qwen2: decoding',
    lines: [step('qwen2.5-0.5b', 16, 1, { unit: 'tokens/s', convert: perSecond(1) })],
  },
  'qwen2-busy': {
    title: 'Qwen2: decoding while another program keeps one core busy',
    lines: [step('qwen2.5-0.5b', 16, 1, { unit: 'tokens/s', convert: perSecond(1), isBusy: true, field: 'fast' })],
  },
  'qwen2-load': {
    title: 'Qwen2: from a file to the first token',
    lines: [{ ...load, title: 'prompt of 16', shape: 'qwen2.5-0.5b' }],
  },
  'qwen2-convert': {
    title: 'Qwen2: converting a folder in bf16',
    lines: [
      {
        title: 'whole process',
        shape: 'qwen2.5-0.5b',
        work: { kind: 'convert' },
        field: 'convert',
        turns: 1,
        unit: 's',
        convert: seconds,
      },
    ],
  },
}
