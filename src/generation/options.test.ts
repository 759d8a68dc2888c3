import { describe, expect, it } from 'vitest'
import { camelCase, lengthLimit, resolveGeneration, snakeCase } from './options.ts'

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

  it('runs Qwen greedily only when told to, and keeps its repetition penalty then', () => {
    expect(() => resolveGeneration({ model: qwen })).toThrow(/do_sample needs sampling.*--do-sample false/)
    expect(resolveGeneration({ model: qwen, call: { doSample: false } })).toMatchObject({
      repetitionPenalty: 1.1,
      eosTokenIds: [151645, 151643],
      padTokenId: 151643,
    })
  })

  it.each([
    [{ doSample: true }, /sampling/],
    [{ numBeams: 5 }, /beam search/],
    [{ num_return_sequences: 2 }, /beam search/],
    [{ penaltyAlpha: 0.5 }, /contrastive/],
    [{ noRepeatNgramSize: 4 }, /no_repeat_ngram_size is a rule/],
    [{ minNewTokens: 2 }, /min_new_tokens/],
    [{ badWordsIds: [[3]] }, /bad_words_ids/],
    [{ stop: '。' }, /stop is a rule/],
    [{ temperature: 0.7 }, /no effect on greedy/],
    [{ topK: 20 }, /no effect on greedy/],
    [{ search: 'beam' }, /no effect on greedy/],
  ])('refuses %j with unsupported-option', (call, message) => {
    expect(() => resolveGeneration({ call })).toThrow(expect.objectContaining({ code: 'unsupported-option' }))
    expect(() => resolveGeneration({ call })).toThrow(message)
  })

  it('accepts the neutral values of what it does not have', () => {
    const call = {
      doSample: false,
      numBeams: 1,
      noRepeatNgramSize: 0,
      badWordsIds: null,
      suppressTokens: [],
      temperature: 1,
      topK: 50,
      earlyStopping: false,
      removeInvalidValues: true,
      seed: 7,
      search: 'greedy',
    }
    expect(() => resolveGeneration({ call })).not.toThrow()
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
