import { describe, expect, it } from 'vitest'
import { parseJson } from './json.ts'

describe('parseJson', () => {
  it.each([
    'null',
    '0',
    '"a\\"b\\\\"',
    '[]',
    '{"a":[1,{"b":"[[[["}],"c":"\\\\"}',
    `${'['.repeat(128)}${']'.repeat(128)}`,
  ])('gives what JSON.parse gives: %s', (text) => expect(parseJson(text)).toEqual(JSON.parse(text)))

  it.each(['', '{', '"', '"\\', '[1,]', '\uFEFF{}', "{'a':1}", 'NaN'])('refuses what JSON.parse refuses: %j', (text) =>
    expect(() => parseJson(text)).toThrow(SyntaxError),
  )

  it.each([
    ['levels', `${'['.repeat(129)}${']'.repeat(129)}`],
    ['levels that never end', '{"a":'.repeat(5_000_000)],
    ['levels', '['.repeat(100_000_000)],
    ['values', `[${'{},'.repeat(10_000_000)}0]`],
    ['values', `[${'0,'.repeat(10_000_000)}0]`],
    ['values', `{${'"a":0,'.repeat(5_000_000)}"a":0}`],
  ])('refuses too many %s before it makes any', (_, repeated) => {
    // As it comes from a file: what repeat gives is put together only when it is read.
    const text = Buffer.from(repeated).toString('latin1')
    const before = process.memoryUsage().heapUsed
    expect(() => parseJson(text)).toThrow(SyntaxError)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50e6)
  })
})
