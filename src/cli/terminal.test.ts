import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { TandemError } from '../errors.ts'
import { hasColors, styled, Terminal } from './terminal.ts'

afterEach(() => vi.unstubAllEnvs())

function stream(isTTY: boolean) {
  return Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream
}

function written(from: NodeJS.WriteStream): string {
  return String((from as unknown as PassThrough).read() ?? '')
}

describe('colours', () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
    [false, { FORCE_COLOR: '1' }, true],
    [true, { FORCE_COLOR: '0' }, false],
    [true, { FORCE_COLOR: 'false' }, false],
    [false, { FORCE_COLOR: '' }, false],
    [false, { FORCE_COLOR: '1', NO_COLOR: '1', TERM: 'dumb' }, true],
  ])('terminal %j with %j: %j', (isTTY, environment, expected) => {
    expect(hasColors({ isTTY }, environment)).toBe(expected)
  })

  it('are escape codes around the text, or nothing', () => {
    vi.stubEnv('NO_COLOR', '')
    vi.stubEnv('FORCE_COLOR', '1')
    expect(styled({ isTTY: false }, 'red', 'x')).toBe('\u001B[31mx\u001B[39m')
    vi.stubEnv('FORCE_COLOR', '0')
    expect(styled({ isTTY: true }, 'red', 'x')).toBe('x')
  })
})

describe('a terminal', () => {
  const speak = (verbosity: Terminal['verbosity']) => {
    const terminal = new Terminal(stream(false), stream(false))
    terminal.verbosity = verbosity
    terminal.notice('notice')
    terminal.hint('hint')
    terminal.detail('name', 'value')
    terminal.error(new TandemError('io', 'It\nfailed', { cause: new Error('the disk') }))
    expect(written(terminal.out)).toBe('')
    return written(terminal.err)
  }

  it('is as loud as it should be', () => {
    vi.stubEnv('FORCE_COLOR', '')
    expect(speak('quiet')).toBe('tandem: [io] It failed\n')
    expect(speak('normal')).toBe('tandem: notice\nhint\ntandem: [io] It failed\n')
    const loud = speak('verbose')
    expect(loud).toMatch(/^tandem: notice\nhint\ntandem: name: value\ntandem: \[io\] It failed\n/)
    expect(loud).toMatch(/TandemError: It failed\n {4}at .*caused by Error: the disk\n {4}at /s)
  })

  it('ends the story of an error that is its own cause', () => {
    const terminal = new Terminal(stream(false), stream(false))
    terminal.verbosity = 'verbose'
    const error = new Error('round')
    error.cause = error
    terminal.error(error)
    expect(written(terminal.err).match(/Error: round/g)).toHaveLength(1)
  })

  it('draws only where somebody sees it', () => {
    vi.stubEnv('TERM', 'xterm')
    const shown = new Terminal(stream(false), stream(true))
    expect(shown.canvas).toBe(shown.err)
    shown.verbosity = 'quiet'
    expect(shown.canvas).toBeUndefined()
    expect(new Terminal(stream(true), stream(false)).canvas).toBeUndefined()
    shown.verbosity = 'normal'
    vi.stubEnv('TERM', 'dumb')
    expect(shown.canvas).toBeUndefined()
  })
})
