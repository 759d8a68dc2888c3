/** Options of one generation, under Hugging Face's names. `null` turns an option off. */

/** Options of every search. */
export interface CommonOptions {
  /** Tokens to add at most; beats `maxLength`, wherever it was set. */
  maxNewTokens?: number | null
  /** Length at most, the decoder's prompt included: 1 for an encoder-decoder. */
  maxLength?: number | null
  /** Seconds after which no further token is begun. */
  maxTime?: number | null
  /** Length below which no text ends, the decoder's prompt included. */
  minLength?: number | null
  /** New tokens before which no text ends; beats `minLength`, wherever it was set. */
  minNewTokens?: number | null
  /** Texts that end the generation where they are complete; they stay in the text. */
  stopStrings?: string | readonly string[] | null
  /** One id or several; any of them ends the text. */
  eosTokenId?: number | readonly number[] | null
  /** Id of padding: in a prompt of a decoder-only model it is not attended to, unless it ends texts as well. */
  padTokenId?: number | null
  /** Divides the positive scores of tokens that are already there and multiplies the negative ones. */
  repetitionPenalty?: number | null
  /** As `repetitionPenalty` with the inverse factor, for the tokens of the input: above 1 they become more likely. */
  encoderRepetitionPenalty?: number | null
  /** No sequence of so many tokens appears twice. */
  noRepeatNgramSize?: number | null
  /** No sequence of so many tokens of the input appears. */
  encoderNoRepeatNgramSize?: number | null
  /** Token sequences that must not appear. */
  badWordsIds?: readonly (readonly number[])[] | null
  /** Pairs of a token sequence and what is added to the score of its last token. */
  sequenceBias?: readonly (readonly [readonly number[], number])[] | null
  /** The first token after a decoder prompt of one token. */
  forcedBosTokenId?: number | null
  /** The token, or tokens, of which one ends a text at its full length. */
  forcedEosTokenId?: number | readonly number[] | null
  /** Tokens that must not appear. */
  suppressTokens?: readonly number[] | null
  /** Tokens that must not come first. */
  beginSuppressTokens?: readonly number[] | null
  /** `[start, factor]`: so many new tokens later, ending becomes more likely by that factor with every token. */
  exponentialDecayLengthPenalty?: readonly [number, number] | null
  /** Replaces what is no number by 0 and infinities by the largest floats. */
  removeInvalidValues?: boolean | null
  /** Makes log-probabilities of the scores once all rules have been applied. */
  renormalizeLogits?: boolean | null
  /** The ids that may follow, given all ids so far (the decoder's prompt included). */
  prefixAllowedTokensFn?: PrefixAllowedTokensFn | null
  /** Rules of one's own, applied after all others and before the filters of sampling. */
  logitsProcessor?: LogitsProcessorCallback | readonly LogitsProcessorCallback[] | null
}

/** Gives the ids of which one must come next. */
export type PrefixAllowedTokensFn = (ids: readonly number[]) => readonly number[]

/** Changes the scores `[vocabulary]` of the next token in place; `ids` are all ids so far, the decoder's prompt too. */
export type LogitsProcessorCallback = (ids: readonly number[], scores: Float32Array) => void

/** How tokens are drawn. */
export interface SamplingOptions {
  /** Scores are divided by it: above 1 the draws vary more, below 1 less. Default 1. */
  temperature?: number | null
  /** Draw from so many of the best tokens; 0 is no limit, 50 the default. */
  topK?: number | null
  /** Draw from the fewest best tokens whose probabilities add up to this, 0 to 1 (nucleus; Holtzman et al. 2019). */
  topP?: number | null
  /** Draw from tokens with at least this share of the best token's probability, 0 to 1 (Nguyen et al. 2024). */
  minP?: number | null
  /** Draw from the best tokens until their entropy reaches this share of the whole, 0 to 1 (Potraghloo et al. 2025). */
  topH?: number | null
  /** Draw from the tokens whose information is nearest to the expected, up to this probability (Meister et al. 2022). */
  typicalP?: number | null
  /** Draw from tokens with at least this probability (Hewitt et al. 2022). */
  epsilonCutoff?: number | null
  /** As `epsilonCutoff`, with a limit that falls where the entropy is high (Hewitt et al. 2022). */
  etaCutoff?: number | null
  /** An integer: the draws are those of `torch.manual_seed(seed)` on a CPU. Without one, a fresh seed is drawn and reported. */
  seed?: number | null
}

/** How beams are kept. */
export interface BeamOptions {
  /** Texts that are kept beside each other; 1, the default, is no beam search. */
  numBeams?: number | null
  /** Beams' scores are divided by their length to this power: above 0 favours long texts. */
  lengthPenalty?: number | null
  /**
   * True: ends with `numBeams` finished texts. False, the default: when it is unlikely that better ones come. `never`: when
   * none can come.
   */
  earlyStopping?: boolean | 'never' | null
}

/** Sampling and beams return up to so many texts. */
export interface ReturnOptions {
  /** Texts to return, at most `numBeams` for beams. Default 1. */
  numReturnSequences?: number | null
}

/** Contrastive search (Su et al. 2022): of the `topK` best tokens the one that is least like what is there. */
export interface ContrastiveOptions {
  /** From 0 (only the model's confidence) to 1 (only the difference). */
  penaltyAlpha?: number | null
  /** Candidates of each step; above 1. Default 50. */
  topK?: number | null
}

/** Whether anything is drawn. */
export interface SampleOption {
  /** True: draws tokens, or beams. False, the default: takes the best. */
  doSample?: boolean | null
}

type AllOptions = SamplingOptions & BeamOptions & ReturnOptions & ContrastiveOptions & SampleOption
type None<Options> = { [Name in keyof Options]?: never }
/** `Options`, and of all others none. */
type Only<Options> = Options & None<Omit<AllOptions, keyof Options>>

/**
 * Options of one call. With a `search`, ChatLM's preset of that name counts where the call says nothing, and options
 * of other searches are not accepted; without one, the options decide the search as in transformers.
 */
export type GenerationOptions = CommonOptions &
  (
    | ({ search: 'greedy' } & Only<Record<never, never>>)
    | ({ search: 'sampling' } & Only<SamplingOptions & ReturnOptions>)
    | ({ search: 'beam' } & Only<BeamOptions & ReturnOptions & SamplingOptions & SampleOption>)
    | ({ search: 'contrastive' } & Only<ContrastiveOptions>)
    | ({ search?: undefined } & AllOptions)
  )

/** Options of a caller who names no search. */
export type UnnamedSearchOptions = Extract<GenerationOptions, { search?: undefined }>

/** What a search looks for. */
export type SearchMode = 'greedy' | 'sampling' | 'beam' | 'contrastive'

/** Everything a search needs to know, checked. */
export interface GenerationConfig {
  mode: SearchMode
  /** True: tokens, or beams, are drawn. */
  doSample: boolean
  numBeams: number
  numReturnSequences: number
  earlyStopping: boolean | 'never'
  lengthPenalty: number
  penaltyAlpha: number
  topK: number
  /** Of sampling, in the order in which they are applied; `minTokensToKeep` included. */
  warpers: readonly { kind: WarperName; value: number }[]
  /** Set when something is drawn. */
  seed: number | undefined
  maxNewTokens: number | undefined
  maxLength: number | undefined
  maxPositions: number | undefined
  maxTime: number | undefined
  minLength: number
  /** Beats `minLength`, be it 0. */
  minNewTokens: number | undefined
  stopStrings: readonly string[]
  /** Empty: only the length ends the text. */
  eosTokenIds: readonly number[]
  padTokenId: number | undefined
  repetitionPenalty: number
  encoderRepetitionPenalty: number
  noRepeatNgramSize: number
  encoderNoRepeatNgramSize: number
  badWordsIds: readonly (readonly number[])[]
  sequenceBias: readonly (readonly [readonly number[], number])[]
  forcedBosTokenId: number | undefined
  forcedEosTokenIds: readonly number[]
  suppressTokens: readonly number[]
  beginSuppressTokens: readonly number[]
  exponentialDecayLengthPenalty: readonly [number, number] | undefined
  removeInvalidValues: boolean
  renormalizeLogits: boolean
  prefixAllowedTokensFn: PrefixAllowedTokensFn | undefined
  logitsProcessors: readonly LogitsProcessorCallback[]
}

export type WarperName = Exclude<keyof SamplingOptions, 'seed'>

/** `num_beams` → `numBeams`; camelCase stays. */
export function camelCase(name: string): string {
  return name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `numBeams` → `num_beams`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
