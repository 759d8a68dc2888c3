import { expect, test } from 'vitest'
import { StoredStrings } from './stored-strings.ts'

test('strings of several windows come in their order, once they are asked for, and as bytes where they are no UTF-8', () => {
  const first = Buffer.from('xx你好xx')
  const second = Buffer.from([0x61, 0xf0, 0x9f])
  const strings = new StoredStrings(4)
  strings.add(first, 2, 8)
  strings.add(first, 0, 0)
  strings.add(second, 0, 1)
  strings.add(second, 1, 3)
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
  const bytes = Buffer.from('a\uFFFDb')
  const strings = new StoredStrings(1)
  strings.add(bytes, 0, bytes.length)
  expect(strings.value).toEqual(['a\uFFFDb'])
})
