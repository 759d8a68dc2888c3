import type { SearchMode } from './options.ts'

/**
 * The settings under which ChatLM-mini-Chinese's authors run their model: `my_generate` of `model/chat_model.py` with its
 * default `max_seq_len` of 256. Their beam search draws its beams.
 */
export const PRESETS: Readonly<Record<SearchMode, Readonly<Record<string, unknown>>>> = {
  greedy: { ...shared(), doSample: false },
  beam: {
    ...shared(),
    doSample: true,
    numBeams: 5,
    topK: 50,
    topP: 0.95,
    noRepeatNgramSize: 4,
    lengthPenalty: -2,
    earlyStopping: true,
  },
  sampling: { ...shared(), doSample: true, topK: 50, temperature: 0.98, topP: 0.8, noRepeatNgramSize: 4 },
  contrastive: { ...shared(), doSample: false, penaltyAlpha: 0.5, topK: 50 },
}

/** Options of `GenerationOptions` that each search does not have. */
export const FOREIGN_OPTIONS: Readonly<Record<SearchMode, readonly string[]>> = {
  greedy: [...sampling(), ...beams(), 'numReturnSequences', 'penaltyAlpha', 'topK', 'doSample'],
  beam: ['penaltyAlpha'],
  sampling: [...beams(), 'penaltyAlpha', 'doSample'],
  contrastive: [...sampling(), ...beams(), 'numReturnSequences', 'doSample'],
}

function shared(): Record<string, unknown> {
  return { removeInvalidValues: true, maxNewTokens: 256, numBeams: 1, penaltyAlpha: 0, numReturnSequences: 1 }
}

function sampling(): string[] {
  return ['temperature', 'topP', 'minP', 'topH', 'typicalP', 'epsilonCutoff', 'etaCutoff', 'seed']
}

function beams(): string[] {
  return ['numBeams', 'lengthPenalty', 'earlyStopping']
}
