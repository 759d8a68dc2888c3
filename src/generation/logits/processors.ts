import type { RowEdit } from '../decoder.ts'
import type { GenerationConfig } from '../options.ts'
import { callback } from './callbacks.ts'
import { exponentialDecayLengthPenalty } from './exponential-decay-length-penalty.ts'
import { forcedBosToken, forcedEosToken } from './forced-tokens.ts'
import { minLength } from './min-length.ts'
import { encoderNoRepeatNgram, noRepeatNgram } from './no-repeat-ngram.ts'
import { prefixAllowedTokens } from './prefix-allowed-tokens.ts'
import type { LogitsProcessor, ProcessorContext } from './processor.ts'
import { encoderRepetitionPenalty, repetitionPenalty } from './repetition-penalty.ts'
import { badWords, sequenceBias } from './sequence-bias.ts'
import { beginSuppressTokens, suppressTokens } from './suppress-tokens.ts'
import { warpers } from './warpers.ts'

/** What happens to a row of scores, given the ids that it follows: the edits of all processors in their order. */
export type RowRules = (ids: readonly number[]) => RowEdit[]

/**
 * The processors that the options ask for, in the order of transformers 5.23, which is part of their meaning. Beam
 * searches hand them log-probabilities, all others raw logits.
 */
export function rowRules(config: GenerationConfig, context: ProcessorContext): RowRules {
  const first: RowEdit[] = config.mode === 'beam' ? [{ kind: 'logSoftmax' }] : []
  const processors = logitsProcessors(config, context)
  return (ids) => [...first, ...processors.flatMap((process) => process(ids) ?? [])]
}

/** Every processor that has something to do. */
export function logitsProcessors(config: GenerationConfig, context: ProcessorContext): LogitsProcessor[] {
  const { promptLength, padding, inputIds, lengthLimit, vocabularySize } = context
  // An end token beyond the vocabulary can never come, and has no score to change.
  const ends = config.eosTokenIds.filter((id) => id >= 0 && id < vocabularySize)
  const shortest = config.minNewTokens === undefined ? config.minLength : promptLength + config.minNewTokens
  const begin = promptLength > 1 || config.forcedBosTokenId === undefined ? promptLength : promptLength + 1
  const decay = config.exponentialDecayLengthPenalty
  const rule = (isWanted: boolean, processor: () => LogitsProcessor) => (isWanted ? [processor()] : [])
  const given = <Option>(option: Option | undefined, processor: (option: Option) => LogitsProcessor) =>
    option === undefined ? [] : [processor(option)]
  return [
    ...sequenceBias(config.sequenceBias),
    ...rule(config.encoderRepetitionPenalty !== 1, () =>
      encoderRepetitionPenalty(config.encoderRepetitionPenalty, inputIds),
    ),
    ...rule(config.repetitionPenalty !== 1, () => repetitionPenalty(config.repetitionPenalty, padding)),
    ...rule(config.noRepeatNgramSize > 0, () => noRepeatNgram(config.noRepeatNgramSize)),
    ...rule(config.encoderNoRepeatNgramSize > 0, () => encoderNoRepeatNgram(config.encoderNoRepeatNgramSize, inputIds)),
    ...rule(config.badWordsIds.length > 0, () => badWords(config.badWordsIds, config.eosTokenIds)),
    ...rule(shortest > 0 && ends.length > 0, () => minLength(shortest, ends)),
    ...given(config.prefixAllowedTokensFn, (allowed) => prefixAllowedTokens(allowed, vocabularySize)),
    ...given(config.forcedBosTokenId, forcedBosToken),
    ...rule(config.forcedEosTokenIds.length > 0, () => forcedEosToken(config.forcedEosTokenIds, lengthLimit)),
    ...rule(config.removeInvalidValues, () => () => ({ kind: 'removeInvalid' })),
    ...given(decay, (decay) => exponentialDecayLengthPenalty(decay, ends, promptLength)),
    ...rule(config.suppressTokens.length > 0, () => suppressTokens(config.suppressTokens)),
    ...rule(config.beginSuppressTokens.length > 0, () => beginSuppressTokens(config.beginSuppressTokens, begin)),
    ...config.logitsProcessors.map(callback),
    ...warpers(config),
    ...rule(config.renormalizeLogits, () => () => ({ kind: 'logSoftmax' })),
  ]
}
