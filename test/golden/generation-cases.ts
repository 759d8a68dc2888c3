import type { Decoder, Draw, RowCandidates, StepOptions } from '../../src/generation/decoder.ts'
import { ForwardingDecoder } from '../../src/generation/forwarding-decoder.ts'
import type { GenerationConfig, UnnamedSearchOptions } from '../../src/generation/options.ts'

/** A file `cases/gen-*.json`: what transformers generates. */
export interface GenerationCases {
  model: string
  transformers: string
  pad_token_id: number
  padding_side: 'left' | 'right'
  prompts: { text: string; ids: number[] }[]
  cases: GenerationCase[]
}

/** A file `cases/legacy-*.json`: contrastive search, which only older releases have. */
export interface LegacyCases {
  model: string
  transformers: string
  contrastive: GenerationCase[]
}

export interface GenerationCase {
  id: string
  tag: string
  kw: UnnamedSearchOptions
  seed?: number
  /** Indices of `prompts`, or the rows of a batch themselves. */
  prompts?: number[]
  inputs?: number[][]
  error?: string
  out?: {
    /** Rows of the whole batch, filled to one width. */
    gen: number[][]
    scores?: number[]
    top10?: [number[], number[]][]
    text: string[]
    stable: boolean
    steps: number
  }
}

export interface MaskedInput {
  inputIds: number[]
  attentionMask: number[]
}

/** The prompts of a case as the reference saw them: filled to one width and masked there. */
export function paddedInputs(golden: GenerationCases, { prompts, inputs }: GenerationCase): MaskedInput[] {
  const rows = inputs ?? prompts?.map((index) => golden.prompts[index]?.ids ?? []) ?? []
  const width = Math.max(0, ...rows.map((row) => row.length))
  return rows.map((row) => {
    const fill = new Array<number>(width - row.length)
    const [ids, mask] = [fill.fill(golden.pad_token_id), new Array<number>(fill.length).fill(0)]
    const ones = row.map(() => 1)
    return golden.padding_side === 'left'
      ? { inputIds: [...ids, ...row], attentionMask: [...mask, ...ones] }
      : { inputIds: [...row, ...ids], attentionMask: [...ones, ...mask] }
  })
}

/** The reference fills the rows of a batch: behind an end token, or behind a stop string that stands at the end. */
export function withoutFill(
  row: number[],
  finishReason: string | undefined,
  { eosTokenIds, padTokenId }: Pick<GenerationConfig, 'eosTokenIds' | 'padTokenId'>,
): number[] {
  if (finishReason === 'stop') {
    const last = row.findLastIndex((token) => token !== padTokenId && !eosTokenIds.includes(token))
    return row.slice(0, last + 1)
  }
  const end = row.findIndex((token) => eosTokenIds.includes(token))
  return end < 0 ? row : row.slice(0, end + 1)
}

/**
 * A decoder whose prompt is one of a batch of the reference, which draws for the whole batch from one generator: row
 * `index` of `size` that are drawn at each step.
 */
export class BatchRowDecoder extends ForwardingDecoder {
  readonly #index: number
  readonly #size: number

  constructor(decoder: Decoder, index: number, size: number) {
    super(decoder)
    this.#index = index
    this.#size = size
  }

  override step(...[state, tokens, options, signal]: Parameters<Decoder['step']>): Promise<RowCandidates[]> {
    return super.step(state, tokens, inBatch(options, this.#index, this.#size), signal)
  }
}

function inBatch(options: StepOptions, index: number, size: number): StepOptions {
  const { draw } = options
  if (draw === undefined) return options
  const moved: Draw = {
    generator: draw.generator,
    rows: draw.rows.map((row) => index * draw.matrixRows + row),
    matrixRows: size * draw.matrixRows,
  }
  return { ...options, draw: moved }
}
