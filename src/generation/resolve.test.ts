import { describe, expect, expectTypeOf, it } from 'vitest'
import { lengthLimit } from './lengths.ts'
import { camelCase, type GenerationOptions, snakeCase } from './options.ts'
import { resolveGeneration } from './resolve.ts'

/** Qwen2.5-Instruct's own file. */
const qwen = {
  bos_token_id: 151643,
  pad_token_id: 151643,
  do_sample: true,
  eos_token_id: [151645, 151643],
  repetition_penalty: 1.1,
  temperature: 0.7,
  top_p: 0.8,
  top_k: 20,
  transformers_version: '4.37.0',
}

describe('resolveGeneration', () => {
  it('puts the call before the given config, that before the model, that before the defaults', () => {
    expect(resolveGeneration({})).toMatchObject({ repetitionPenalty: 1, eosTokenIds: [], maxNewTokens: undefined })
    const model = { repetition_penalty: 1.1, max_new_tokens: 7, eos_token_id: 2 }
    const config = { repetition_penalty: 1.2, max_new_tokens: null }
    expect(resolveGeneration({ model })).toMatchObject({ repetitionPenalty: 1.1, maxNewTokens: 7, eosTokenIds: [2] })
    expect(resolveGeneration({ model, config })).toMatchObject({ repetitionPenalty: 1.2, maxNewTokens: 7 })
    expect(resolveGeneration({ model, config, call: { repetitionPenalty: 1.3 } }).repetitionPenalty).toBe(1.3)
  })

  it('reads snake_case and camelCase', () => {
    expect(resolveGeneration({ call: { max_new_tokens: 3 } })).toEqual(resolveGeneration({ call: { maxNewTokens: 3 } }))
    expect(camelCase('no_repeat_ngram_size')).toBe('noRepeatNgramSize')
    expect(camelCase('top-k')).toBe('topK')
    expect(snakeCase('noRepeatNgramSize')).toBe('no_repeat_ngram_size')
  })

  it('lets null in a call turn an option of the model off', () => {
    const model = { repetition_penalty: 1.1, eos_token_id: 2, max_new_tokens: 7 }
    const call = { repetitionPenalty: null, eosTokenId: null, maxNewTokens: null }
    expect(resolveGeneration({ model, call })).toMatchObject({
      repetitionPenalty: 1,
      eosTokenIds: [],
      maxNewTokens: undefined,
    })
  })

  it('samples as a model’s file says, and keeps its repetition penalty when told not to', () => {
    const sampled = resolveGeneration({ model: qwen })
    expect(sampled).toMatchObject({ mode: 'sampling', doSample: true, repetitionPenalty: 1.1 })
    expect(sampled.warpers).toEqual([
      { kind: 'temperature', value: 0.7 },
      { kind: 'topK', value: 20 },
      { kind: 'topP', value: 0.8 },
    ])
    expect(sampled.seed).toBeGreaterThanOrEqual(0)
    expect(resolveGeneration({ model: qwen, call: { doSample: false } })).toMatchObject({
      mode: 'greedy',
      warpers: [],
      seed: undefined,
      repetitionPenalty: 1.1,
      eosTokenIds: [151645, 151643],
      padTokenId: 151643,
    })
  })

  it.each([
    [{}, 'greedy'],
    [{ numBeams: 5 }, 'beam'],
    [{ numBeams: 5, doSample: true }, 'beam'],
    [{ doSample: true }, 'sampling'],
    [{ penaltyAlpha: 0.5 }, 'contrastive'],
    [{ penaltyAlpha: 0.5, topK: 1 }, 'greedy'],
    [{ penaltyAlpha: 0.5, topK: null }, 'greedy'],
    [{ penaltyAlpha: 0.5, doSample: true }, 'sampling'],
    [{ penaltyAlpha: 0.5, numBeams: 2 }, 'beam'],
    [{ penaltyAlpha: 0 }, 'greedy'],
  ])('takes %j for %s', (call, mode) => {
    expect(resolveGeneration({ call }).mode).toBe(mode)
  })

  it('draws from the 50 best when nobody says otherwise', () => {
    expect(resolveGeneration({ call: { doSample: true } }).warpers).toEqual([{ kind: 'topK', value: 50 }])
    expect(resolveGeneration({ call: { doSample: true, topK: 0 } }).warpers).toEqual([])
    expect(resolveGeneration({ call: { doSample: true, topK: null }, model: qwen }).warpers).toHaveLength(2)
  })

  it('takes the filters in the order of transformers, and leaves out those without effect', () => {
    const call = {
      doSample: true,
      etaCutoff: 0.1,
      epsilonCutoff: 0,
      typicalP: 1,
      minP: 0,
      topP: 1,
      topH: 0.5,
      temperature: 1,
    }
    expect(resolveGeneration({ call }).warpers.map(({ kind }) => kind)).toEqual(['topH', 'topK', 'minP', 'etaCutoff'])
  })

  it('draws a fresh seed for each call that draws, and takes a given one', () => {
    const seeds = Array.from({ length: 4 }, () => resolveGeneration({ call: { doSample: true } }).seed)
    expect(new Set(seeds).size).toBeGreaterThan(1)
    expect(resolveGeneration({ call: { doSample: true, seed: 0 } }).seed).toBe(0)
    expect(resolveGeneration({ call: { seed: 5 } }).seed).toBeUndefined()
  })

  it('knows ChatLM’s presets, which give way to the call and go before every file', () => {
    const model = { num_beams: 3, top_k: 7, do_sample: true, repetition_penalty: 1.2 }
    const preset = (call: object) => resolveGeneration({ call, model, config: { top_p: 0.1 } })
    expect(preset({ search: 'greedy' })).toMatchObject({ mode: 'greedy', numBeams: 1, removeInvalidValues: true })
    expect(preset({ search: 'beam' })).toMatchObject({
      mode: 'beam',
      doSample: true,
      numBeams: 5,
      noRepeatNgramSize: 4,
      lengthPenalty: -2,
      earlyStopping: true,
      maxNewTokens: 256,
      repetitionPenalty: 1.2,
      warpers: [
        { kind: 'topK', value: 50 },
        { kind: 'topP', value: 0.95 },
      ],
    })
    expect(preset({ search: 'sampling' }).warpers).toEqual([
      { kind: 'temperature', value: 0.98 },
      { kind: 'topK', value: 50 },
      { kind: 'topP', value: 0.8 },
    ])
    expect(preset({ search: 'contrastive' })).toMatchObject({ mode: 'contrastive', penaltyAlpha: 0.5, topK: 50 })
    expect(preset({ search: 'beam', numBeams: 2, doSample: false })).toMatchObject({ numBeams: 2, doSample: false })
    expect(preset({ search: 'greedy', maxLength: 9 })).toMatchObject({ maxNewTokens: undefined, maxLength: 9 })
  })

  it.each([
    [{ search: 'greedy', numBeams: 5 }, /num_beams does not belong to greedy/],
    [{ search: 'greedy', temperature: 0.5 }, /temperature does not belong/],
    [{ search: 'sampling', earlyStopping: true }, /early_stopping does not belong to sampling/],
    [{ search: 'beam', penaltyAlpha: 0.5 }, /penalty_alpha does not belong to beam/],
    [{ search: 'beam', numBeams: 1 }, /needs more than one beam/],
    [{ search: 'contrastive', topP: 0.5 }, /top_p does not belong/],
    [{ search: 'widest' }, /search has a bad value/],
    [{ numReturnSequences: 2 }, /greedy search finds one text/],
    [{ numReturnSequences: 2, penaltyAlpha: 0.5 }, /contrastive search finds one text/],
    [{ numReturnSequences: 4, numBeams: 3 }, /at most 3 \(num_beams\), received 4/],
    [{ suppressTokens: [5, 6], forcedEosTokenId: [5] }, /forced_eos_token_id is also in suppress_tokens/],
    [{ suppressTokens: [5, 6], forcedBosTokenId: 6 }, /forced_bos_token_id is also in suppress_tokens/],
  ])('refuses the contradiction %j', (call, message) => {
    expect(() => resolveGeneration({ call })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    expect(() => resolveGeneration({ call })).toThrow(message)
  })

  it('gives no type to options of another search than the one that is named', () => {
    expectTypeOf<{ search: 'greedy'; noRepeatNgramSize: number }>().toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'greedy'; numBeams: number }>().not.toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'greedy'; topK: number }>().not.toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'sampling'; topK: number; seed: number }>().toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'sampling'; lengthPenalty: number }>().not.toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'beam'; lengthPenalty: number; topP: number }>().toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'beam'; penaltyAlpha: number }>().not.toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'contrastive'; penaltyAlpha: number; topK: number }>().toExtend<GenerationOptions>()
    expectTypeOf<{ search: 'contrastive'; numReturnSequences: number }>().not.toExtend<GenerationOptions>()
    expectTypeOf<{ numBeams: number; topK: number; penaltyAlpha: number }>().toExtend<GenerationOptions>()
  })

  it.each([
    [{ numBeamGroups: 2, numBeams: 4 }, /num_beam_groups/],
    [{ guidanceScale: 1.5 }, /guidance_scale/],
    [{ diversityPenalty: 0.5 }, /diversity_penalty/],
  ])('refuses %j with unsupported-option', (call, message) => {
    expect(() => resolveGeneration({ call })).toThrow(expect.objectContaining({ code: 'unsupported-option' }))
    expect(() => resolveGeneration({ call })).toThrow(message)
    expect(() => resolveGeneration({ model: call })).toThrow(message)
  })

  it('accepts the neutral values of everything', () => {
    const call = {
      ...{ doSample: false, numBeams: 1, numBeamGroups: 1, guidanceScale: 1, noRepeatNgramSize: 0, badWordsIds: null },
      ...{
        suppressTokens: [],
        temperature: 0,
        topK: 50,
        earlyStopping: false,
        removeInvalidValues: true,
        useCache: true,
      },
    }
    expect(resolveGeneration({ call }).mode).toBe('greedy')
  })

  it.each([
    { temperature: 0 },
    { temperature: -1 },
    { topK: -1 },
    { topK: 2.5 },
    { topP: 1.5 },
    { topP: -0.1 },
    { minP: 2 },
    { topH: 0 },
    { typicalP: 0 },
    { epsilonCutoff: -1 },
    { seed: 1.5 },
  ])('refuses %j where tokens are drawn', (call) => {
    expect(() => resolveGeneration({ call: { ...call, doSample: true } })).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    )
  })

  it('checks that tokens to be edited are tokens of the model', () => {
    for (const call of [
      { badWordsIds: [[1, 100]] },
      { sequenceBias: [[[100], 1]] },
      { suppressTokens: [100] },
      { beginSuppressTokens: [100] },
      { forcedBosTokenId: 100 },
      { forcedEosTokenId: [1, 100] },
    ]) {
      expect(() => resolveGeneration({ call, vocabularySize: 100 })).toThrow(/ids below 100, received 100/)
      expect(() => resolveGeneration({ call, vocabularySize: 101 })).not.toThrow()
    }
  })

  it.each([
    { maxNewTokens: 0 },
    { maxNewTokens: -1 },
    { maxNewTokens: 1.5 },
    { maxNewTokens: Number.NaN },
    { maxNewTokens: '20' },
    { maxLength: 0 },
    { repetitionPenalty: 0 },
    { repetitionPenalty: -1 },
    { repetitionPenalty: Number.POSITIVE_INFINITY },
    { repetitionPenalty: true },
    { eosTokenId: 'end' },
    { eosTokenId: [1, 2.5] },
    { padTokenId: {} },
    { numBeams: 0 },
    { numReturnSequences: 0 },
    { earlyStopping: 'sometimes' },
    { lengthPenalty: 'long' },
    { noRepeatNgramSize: -1 },
    { minLength: -1 },
    { badWordsIds: [] },
    { badWordsIds: [3] },
    { badWordsIds: [[-3]] },
    { badWordsIds: [[]] },
    { sequenceBias: [[[], 1]] },
    { sequenceBias: [[[1], 'much']] },
    { suppressTokens: 'the' },
    { exponentialDecayLengthPenalty: [3] },
    { stopStrings: [''] },
    { stopStrings: [] },
    { maxTime: 0 },
    { prefixAllowedTokensFn: [1] },
    { logitsProcessor: ['x'] },
    { maxTokens: 20 },
    { __proto__x: 1 },
  ])('refuses %j with invalid-argument', (call) => {
    expect(() => resolveGeneration({ call })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })

  it('ignores what a file says about other things', () => {
    expect(() => resolveGeneration({ model: { ...qwen, do_sample: false, unheard_of: 1 } })).not.toThrow()
  })
})

describe('lengthLimit', () => {
  const limit = (call: object, promptLength: number, maxPositions?: number) =>
    lengthLimit(resolveGeneration({ call, ...(maxPositions === undefined ? {} : { maxPositions }) }), promptLength)

  it('counts the prompt in max_length and not in max_new_tokens, which wins', () => {
    expect(limit({ maxLength: 10 }, 4)).toBe(10)
    expect(limit({ maxNewTokens: 10 }, 4)).toBe(14)
    expect(limit({ maxNewTokens: 10, maxLength: 5 }, 4)).toBe(14)
  })

  it('adds 20 tokens by default, within the positions of the model', () => {
    expect(limit({}, 1)).toBe(21)
    expect(limit({}, 30)).toBe(50)
    expect(limit({}, 30, 40)).toBe(40)
    expect(limit({ maxNewTokens: 20 }, 30, 40)).toBe(50)
  })

  it('refuses a prompt that fills max_length', () => {
    expect(() => limit({ maxLength: 4 }, 4)).toThrow(/fewer than 4 tokens.*received 4/)
    expect(() => limit({}, 40, 40)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })
})
