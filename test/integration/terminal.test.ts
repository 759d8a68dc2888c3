import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAIN, type Outcome, outcomeOf } from './command.ts'
import { makeSmallModels, type SmallModels } from './small-models.ts'

let small: SmallModels
let folder = ''
beforeAll(async () => {
  small = await makeSmallModels()
  folder = await mkdtemp(join(tmpdir(), 'tandem-terminal-'))
})
afterAll(async () => {
  await small?.remove()
  await rm(folder, { recursive: true, force: true })
})

function start(command: string, parameters: readonly string[], environment: Record<string, string> = {}) {
  const { LC_ALL: _1, LC_MESSAGES: _2, LANG: _3, NO_COLOR: _4, FORCE_COLOR: _5, ...env } = process.env
  const child = spawn(command, parameters, { env: { ...env, TANDEM_CACHE: small.cache, ...environment } })
  child.stdin.end()
  return child
}

function tandem(parameters: readonly string[], environment?: Record<string, string>): Promise<Outcome> {
  return outcomeOf(start(process.execPath, [MAIN, ...parameters], environment))
}

const fast = ['--device', 'cpu', '--threads', '1', '--quantize', 'f32']
const generate = (...more: string[]) => ['generate', '-m', small.t5, ...fast, ...more, 'abc']

describe('exit codes', () => {
  it.each([[[]], [['help']], [['-h']], [['help', 'generate']], [['generate', '--help']], [['--version']]])(
    '0 and an answer on stdout for %j',
    async (parameters) => {
      const { code, out, err } = await tandem(parameters)
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toMatch(parameters.includes('--version') ? /^\d+\.\d+\.\d+\n$/ : /^Usage: tandem /)
    },
  )

  it('1 for what cannot be done', async () => {
    expect(await tandem(['generate', '-m', '/no/such', 'a'])).toMatchObject({ code: 1, out: '' })
  })

  it.each([
    [['generat'], /unknown command 'generat' \(Did you mean generate\?\)/],
    [['generate', '-m', 'x', '--num-beems', '2', 'a'], /unknown option '--num-beems' \(Did you mean --num-beams\?\)/],
    [['help', 'fly'], /unknown command 'fly'/],
    [['completion', 'tcsh'], /bash, zsh, fish/],
    [['--quiet', '--verbose', 'doctor'], /cannot be used with/],
    [['doctor', 'please'], /too many arguments/],
  ])('2 and one line for %j', async (parameters, message) => {
    const { code, out, err } = await tandem(parameters)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/^tandem: \[usage\] [^\n]+\n$/)
    expect(err).toMatch(message)
  })

  it.each(['generate', 'chat'])('130 after SIGINT in the middle of a text of %s', async (command) => {
    const endless = ['--max-new-tokens', '1000000', '--eos-token-id', 'null', '--context-size', '100000']
    const child = start(process.execPath, [MAIN, command, '-m', small.t5, ...fast, ...endless, 'abc'])
    const ended = outcomeOf(child)
    child.stdout.once('data', () => child.kill('SIGINT'))
    const { code, out, err } = await ended
    expect({ code, err }).toEqual({ code: 130, err: '' })
    expect(out).not.toBe('')
  })

  it('0 when `head` has read enough', async () => {
    const command = `set -o pipefail; "$0" "$@" | head -1`
    const many = Array.from({ length: 200 }, () => 'abc')
    const { code, out, err } = await outcomeOf(
      start('bash', ['-c', command, process.execPath, MAIN, ...generate('--json', ...many)]),
    )
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out.trimEnd().split('\n')).toHaveLength(1)
  })
})

describe('--quiet and --verbose', () => {
  it('leave nothing on stderr but errors, or tell what happens, before and after the command', async () => {
    const plain = await tandem(generate())
    for (const quiet of [
      ['--quiet', ...generate()],
      ['generate', '--quiet', ...generate().slice(1)],
    ]) {
      expect(await tandem(quiet)).toEqual({ ...plain, err: '' })
    }
    for (const verbose of [['--verbose', ...generate()], generate('--verbose')]) {
      const { code, out, err } = await tandem(verbose)
      expect({ code, out }).toEqual({ code: 0, out: plain.out })
      for (const name of ['cache', 'model', 'device', 'threads', 'context', 'loaded', 'timings']) {
        expect(err).toMatch(new RegExp(`^tandem: ${name}: .+$`, 'm'))
      }
      expect(err).toContain(`tandem: cache: ${small.cache}\n`)
      expect(err).toContain('tandem: threads: 1\n')
    }
  })

  it('keep or drop the remarks of a conversion', async () => {
    const convert = ['convert', small.qwen, '-o', join(folder, 'x.gguf'), '--quantize', 'q4_k']
    expect((await tandem(convert)).err).toMatch(/^tandem: \d+ of \d+ tensors: /)
    expect(await tandem([...convert, '--quiet'])).toMatchObject({ code: 0, err: '' })
  })

  it('never hide an error, and tell where it comes from', async () => {
    const line = /^tandem: \[not-found\] [^\n]+\n$/
    expect((await tandem(['--quiet', 'generate', '-m', '/no/such', 'a'])).err).toMatch(line)
    expect((await tandem(['--verbose', 'generate', '-m', '/no/such', 'a'])).err).toMatch(
      /\n {4}at .*\ncaused by .*ENOENT/s,
    )
  })
})

describe('colours and languages', () => {
  it('follow FORCE_COLOR on a pipe', async () => {
    const missing = ['generate', '-m', '/no/such', 'a']
    const red = '\u001B[31mtandem:\u001B[39m'
    const begins = async (parameters: string[], stream: 'out' | 'err', beginning: string) => {
      const outcome = await tandem(parameters, { FORCE_COLOR: '1' })
      expect(outcome[stream].slice(0, beginning.length)).toBe(beginning)
    }
    await begins(missing, 'err', `${red} [not-found]`)
    await begins(['fly'], 'err', `${red} [usage]`)
    await begins(['-h'], 'out', '\u001B[1mUsage:\u001B[22m')
    expect((await tandem(['doctor'], { FORCE_COLOR: '0' })).out).not.toContain('\u001B')
  })

  it('are English or Chinese; errors stay English', async () => {
    expect((await tandem(['help', 'convert'], { LANG: 'zh_CN.UTF-8' })).out).toMatch(/^用法: tandem convert/)
    expect((await tandem(['help', 'convert'], { LANG: 'zh_CN.UTF-8', LC_ALL: 'C' })).out).toMatch(/^Usage: /)
    expect((await tandem(['fly'], { LANG: 'zh_CN.UTF-8' })).err).toMatch(/^tandem: \[usage\] unknown command/)
  })
})
