import { describe, expect, it } from 'vitest'
import { CHINESE } from './chinese.ts'
import { ENGLISH } from './english.ts'
import { textsFor } from './language.ts'

const on = (platform: string, environment: Record<string, string>, locale = 'en-US') =>
  textsFor({ environment, platform, locale }) === CHINESE ? 'zh' : 'en'

describe('the language', () => {
  it.each([
    [{ LANG: 'zh_CN.UTF-8' }, 'zh'],
    [{ LANG: 'zh_TW' }, 'zh'],
    [{ LANG: 'zh-Hans' }, 'zh'],
    [{ LANG: 'zha_CN' }, 'en'],
    [{ LANG: 'de_DE.UTF-8' }, 'en'],
    [{ LC_MESSAGES: 'zh_CN', LANG: 'en_US' }, 'zh'],
    [{ LC_ALL: 'C', LC_MESSAGES: 'zh_CN', LANG: 'zh_CN' }, 'en'],
    [{ LC_ALL: '', LC_MESSAGES: '', LANG: 'zh_CN' }, 'zh'],
    [{ LC_ALL: 'zh_CN', LANG: 'C' }, 'zh'],
    [{ LC_CTYPE: 'zh_CN' }, 'en'],
    [{}, 'en'],
  ])('%j: %s', (environment, expected) => {
    expect(on('linux', environment as Record<string, string>)).toBe(expected)
  })

  it('is that of Windows where nothing is set there', () => {
    expect(on('win32', {}, 'zh-CN')).toBe('zh')
    expect(on('win32', { LC_ALL: 'C' }, 'zh-CN')).toBe('en')
    expect(on('win32', {}, 'en-GB')).toBe('en')
    expect(on('linux', {}, 'zh-CN')).toBe('en')
  })

  it('has every text in both languages, and the same examples', () => {
    const paths = (value: object, path = ''): string[] =>
      Object.entries(value).flatMap(([key, inner]) =>
        typeof inner === 'object' ? paths(inner as object, `${path}/${key}`) : [`${path}/${key}`],
      )
    expect(paths(CHINESE).sort()).toEqual(paths(ENGLISH).sort())
  })
})
