/** The options of Hugging Face's `generate()`, sorted by what greedy search makes of them. */

/** Options that this version carries out, with what each takes. */
export const SUPPORTED: Record<string, { expected: string; accepts: (value: unknown) => boolean }> = {
  maxNewTokens: { expected: 'an integer above 0', accepts: isLength },
  maxLength: { expected: 'an integer above 0', accepts: isLength },
  repetitionPenalty: { expected: 'a number above 0', accepts: (value) => Number.isFinite(value) && Number(value) > 0 },
  eosTokenId: {
    expected: 'a token id or a list of them',
    accepts: (value) => [value].flat().every(Number.isSafeInteger),
  },
  padTokenId: { expected: 'a token id', accepts: Number.isSafeInteger },
}

/** Options that change what greedy search finds, or ask for another search: what they need, and their neutral value. */
export const UNSUPPORTED: Record<string, { needs: string; neutral: unknown }> = {
  doSample: { needs: 'sampling', neutral: false },
  numBeams: { needs: 'beam search', neutral: 1 },
  numBeamGroups: { needs: 'group beam search', neutral: 1 },
  numReturnSequences: { needs: 'sampling or beam search', neutral: 1 },
  penaltyAlpha: { needs: 'contrastive search', neutral: 0 },
  ...Object.fromEntries(
    Object.entries({
      noRepeatNgramSize: 0,
      encoderNoRepeatNgramSize: 0,
      encoderRepetitionPenalty: 1,
      minLength: 0,
      minNewTokens: 0,
      badWordsIds: undefined,
      sequenceBias: undefined,
      forcedBosTokenId: undefined,
      forcedEosTokenId: undefined,
      suppressTokens: undefined,
      beginSuppressTokens: undefined,
      exponentialDecayLengthPenalty: undefined,
      guidanceScale: 1,
      stopStrings: undefined,
      stop: undefined,
      maxTime: undefined,
    }).map(([name, neutral]) => [name, { needs: 'a rule', neutral }]),
  ),
}

/**
 * Options that only say how to sample or to keep beams, with their neutral values. A file may hold others; a caller who
 * asks for one expects an effect.
 */
export const IDLE: Record<string, unknown> = {
  temperature: 1,
  topK: 50,
  topP: 1,
  minP: 0,
  typicalP: 1,
  topH: 1,
  epsilonCutoff: 0,
  etaCutoff: 0,
  earlyStopping: false,
  lengthPenalty: 1,
  diversityPenalty: 0,
  search: 'greedy',
}

/** Options that cannot change a greedy text: finite logits stay the same, or keep their order. */
const HARMLESS = ['removeInvalidValues', 'renormalizeLogits', 'seed', 'useCache']

/** Names of all options that a caller may give, those first that have an effect. */
export const GENERATION_OPTION_NAMES: readonly string[] = [
  ...Object.keys(SUPPORTED),
  'doSample',
  'numBeams',
  ...Object.keys(UNSUPPORTED).filter((name) => name !== 'doSample' && name !== 'numBeams'),
  ...Object.keys(IDLE),
  ...HARMLESS,
]

/** Options that this version honours; a help text need not list the others. */
export const EFFECTIVE_OPTION_NAMES: readonly string[] = [...Object.keys(SUPPORTED), 'doSample', 'numBeams']

function isLength(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0
}
