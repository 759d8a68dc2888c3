import { describe, expect, it } from 'vitest'
import { matchesNothing, patternCost } from './pattern.ts'

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const LETTERS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+'
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

describe('the cost of a pattern', () => {
  it.each([
    '(a+)+$',
    '(a*)*$',
    '(?:a+b?)*c',
    '(a|a)+$',
    '((a+))+b',
    '(a|b|ab)*$',
    '(?:a|b|ab){1,40}$',
    '(a+){2,}b',
    '(a{1,})+?b',
    '([a-z]+\\d*)+$',
    '(?:\\w+\\s?)*$',
    '(?i:a|A)*$',
    '(?:a|a?)+$',
    '^(\\w+|\\s+|\\d)*$',
    'x(?:a?){30}$',
    'a?'.repeat(30) + 'a'.repeat(30),
    '(a{1,1000}){1,1000}b',
    'a*a*$',
    '[a-z]*[a-f]*9',
    '\\s*\\n*x',
    '.*.*=.*',
    '\\p{L}*\\p{Lu}*1',
    '[\\x{20000}-\\x{20010}]*\\x{20005}*1',
    '(?=a*a*b)x',
    'a{2,}(.(?=.+\\w)ab)$',
  ])('%s: too many ways', (pattern) => expect(patternCost(pattern)).toBe('unbounded'))

  it.each([
    '(a*)\\1$',
    '(?<x>a\\g<x>?a?)$',
    '(?~ab)*$',
    '(?(1)a|b)',
    '(?#)a',
    '(?x) a',
    '\\X',
    '(',
    ')',
    '[a',
    'a\\',
    '('.repeat(3_000),
    'a'.repeat(20_000),
    '(^){1000000000}',
    '(a?){2000}b',
  ])('%s: cannot be told', (pattern) => expect(patternCost(pattern)).toBe('unbounded'))

  it.each([
    'a+b',
    '\\s+$',
    ' +(?=[,.!?;:%)])',
    '(?<=[0-9]:) +(?=[0-9])',
    '(?>a*)a$',
    'a*+$',
    '(?:ab)*c',
    '(?i)a+(?-i)B',
  ])('%s: the square of a run', (pattern) => expect(patternCost(pattern)).toBe('square'))

  it.each([
    ' {2,}',
    '\\s+',
    '(ab)+',
    '(a{2,3})+',
    '[(a+)]+',
    '[]a+]+',
    '[^]a]',
    '[a-z&&[^aeiou]]+',
    '[[:alpha:]_]+',
    '\\p{Han}+|\\p{^Han}',
    '\\p{NoSuchProperty}+',
    ' ?[^(\\s|.,!?…。，、।۔،)]+',
    '([\\t\\n]|    |  )',
    '(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z',
    '\\u4e00|\\x41|\\t|\\\\',
    'a{,3}|a{}',
    '',
  ])('%s: the length of the text', (pattern) => expect(patternCost(pattern)).toBe('linear'))

  // The pre-tokenizers of llama.cpp's list (llama-vocab.cpp), in the words of their tokenizer.json.
  it.each([
    `${CONTRACTIONS}|${LETTERS}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`,
    `${CONTRACTIONS}|${LETTERS}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|${SPACES}`,
    `${LETTERS}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`,
    `${CONTRACTIONS}|${LETTERS}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}`,
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
    '[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))*((?=[\\p{L}])([^A-Z]))+|\\p{N}',
    '(?=(\\d{3})+(?!\\d))',
    '\\d{1,3}(?=(?:\\d{3})*\\b)',
    '[\\p{Han}]+|[\\p{Lu}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{M}&&[^\\p{Han}]]+',
    '[一-龥぀-ゟ゠-ヿ]+',
    '\\s?[!-/:-~！-／：-～‘-‟　-。]+',
  ])('%s passes', (pattern) => expect(patternCost(pattern)).not.toBe('unbounded'))

  it('is found in little time for a pattern that was written to take much', () => {
    const begin = performance.now()
    for (const pattern of ['(?:a|b|ab){1,200}$', '(?:a?b?c?){1,90}$', `(?:${'a|'.repeat(900)}b)*c`]) {
      expect(patternCost(pattern)).toBe('unbounded')
    }
    expect(performance.now() - begin).toBeLessThan(10_000)
  })
})

it('a pattern that matches nothing is known', () => {
  expect(['', 'a*', '(?:)', '\\b', 'a|', '(?=a)', '('].map(matchesNothing)).toEqual(Array(7).fill(true))
  expect(['a', 'a+', ' {2,}', '(?=a)b'].map(matchesNothing)).toEqual(Array(4).fill(false))
})
