import { describe, expect, it } from 'vitest'
import { repeatsRepetition } from './pattern.ts'

describe('repeatsRepetition', () => {
  it.each([
    '(a+)+$',
    '(a*)*',
    '(?:a+b?)*c',
    '(a|a)+',
    '((a+))+',
    '(?:(?:x|y)z)*',
    '(a+){2,}',
    '(a{1,})+?',
    '([a-z]+\\d*)+',
  ])('finds the bomb %s', (pattern) => expect(repeatsRepetition(pattern)).toBe(true))

  it.each([
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}]*[\\p{Ll}\\p{Lm}]+(?i:'s|'t|'re)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
    ' ?[^(\\s|[.,!?…。，、।۔،])]+',
    ' +(?=[,.!?;:%)])',
    '(?<=[0-9]:) +(?=[0-9])',
    ' {2,}',
    '(ab)+',
    '(a{2,3})+',
    '\\(a+\\)+',
    '[(a+)]+',
    '[]a+]+',
    '(a',
    'a)+',
    '[a',
    'a\\\\',
    '',
  ])('lets %s pass', (pattern) => expect(repeatsRepetition(pattern)).toBe(false))
})
