import { expect, test } from 'vitest'
import { StoredStrings } from './stored-strings.ts'

/** Strings as a file has them, each behind its length. */
function stored(...strings: (string | Uint8Array)[]): Buffer {
  const bytes = strings.map((string) => Buffer.from(string))
  return Buffer.concat(bytes.flatMap((each) => [Buffer.from(BigUint64Array.of(BigInt(each.length)).buffer), each]))
}

test('strings of several windows come in their order, once they are asked for, and as bytes where they are no UTF-8', () => {
  const strings = new StoredStrings(4)
  strings.add(Buffer.concat([Buffer.from('xx'), stored('你好', ''), Buffer.from('xx')]), 2, 2)
  strings.add(stored('another'), 0, 0)
  strings.add(stored('a', Uint8Array.of(0xf0, 0x9f)), 0, 2)
  expect(strings).toMatchObject({ type: 'array', items: 'string', length: 4 })
  expect(strings.value).toEqual(['你好', '', 'a', Uint8Array.of(0xf0, 0x9f)])
  expect(strings.value).toBe(strings.value)
  expect(JSON.stringify(strings)).toBe(
    JSON.stringify({ type: 'array', items: 'string', value: ['你好', '', 'a', Uint8Array.of(0xf0, 0x9f)] }),
  )
})

test('no strings are an empty array', () => {
  expect(new StoredStrings(0).value).toEqual([])
})

test('a string that holds the mark of what cannot be decoded stays a string', () => {
  const strings = new StoredStrings(1)
  strings.add(stored('a\uFFFDb'), 0, 1)
  expect(strings.value).toEqual(['a\uFFFDb'])
})
