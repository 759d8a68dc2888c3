import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAIN, type Outcome, outcomeOf } from './command.ts'
import { makeSmallModels, type SmallModels } from './small-models.ts'

let small: SmallModels
const fast = ['--device', 'cpu', '--threads', '1', '--quantize', 'f32']

beforeAll(async () => {
  if (!existsSync(MAIN)) throw new Error('The command line is not built: run npm run build')
  small = await makeSmallModels()
})
afterAll(() => small?.remove())

function start(...parameters: string[]): ChildProcess {
  return spawn(process.execPath, [MAIN, ...parameters], {
    env: { ...process.env, FORCE_COLOR: '0', TANDEM_CACHE: small.cache },
  })
}

function tandem(...parameters: string[]): Promise<Outcome> {
  const child = start(...parameters)
  child.stdin?.end()
  return outcomeOf(child)
}

function fed(input: string, ...parameters: string[]): Promise<Outcome> {
  const child = start(...parameters)
  child.stdin?.end(input)
  return outcomeOf(child)
}

function jsonLines(out: string): Record<string, unknown>[] {
  expect(out === '' || out.endsWith('\n')).toBe(true)
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const ONE_LINE = /^tandem: \[[a-z-]+\] [^\n]+\n$/

describe('tandem generate', () => {
  it('streams one text, and prints several', async () => {
    const one = await tandem('generate', '-m', small.t5, ...fast, 'abc')
    expect(one).toMatchObject({ code: 0, err: '' })
    const two = await tandem('generate', '-m', small.t5, ...fast, 'abc', 'b')
    expect(two.out.startsWith(one.out)).toBe(true)
  })

  it('prints one object for each input with --json', async () => {
    const { code, out, err } = await tandem(
      'generate',
      '-m',
      small.qwen,
      ...fast,
      '--json',
      '--max-new-tokens',
      '4',
      'abc',
      '你好',
    )
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = jsonLines(out)
    expect(lines.map(({ index, prompt }) => [index, prompt])).toEqual([
      [0, 'abc'],
      [1, '你好'],
    ])
    expect(lines[0]).toEqual({
      index: 0,
      prompt: 'abc',
      inputIds: expect.any(Array),
      sequences: [{ text: expect.any(String), ids: expect.any(Array), score: null, finishReason: 'length' }],
      usage: { inputTokens: expect.any(Number), outputTokens: 4 },
      timings: { loadMs: expect.any(Number), encodeMs: expect.any(Number), decodeMs: expect.any(Number), steps: 4 },
    })
  })

  it('answers the good lines of an input and names what is wrong with the others', async () => {
    const lines = [
      '{"prompt": "abc", "id": "first", "max_new_tokens": 2}',
      'not json',
      '',
      '{"inputIds": [40, 41], "attentionMask": [0, 1], "maxNewTokens": 3, "id": 7}',
      '{"messages": [{"role": "user", "content": "a"}]}',
      '{"prompt": "abc", "num_beam_groups": 2, "id": null}',
      '{"prompt": "abc", "inputIds": [1]}',
      '{"prompt": 5}',
      '{"input_ids": [999999]}',
      '[]',
      '{"messages": [{"role": "user"}]}',
      '{"prompt": "abc", "temperatur": 1}',
    ]
    const { code, out, err } = await fed(
      lines.join('\r\n'),
      'generate',
      '-m',
      small.qwen,
      ...fast,
      '--json',
      '--input',
      '-',
    )
    expect({ code, err }).toEqual({ code: 1, err: '' })
    const answers = jsonLines(out)
    expect(answers.map(({ index }) => index)).toEqual([...answers.keys()])
    expect(answers.map(({ error }) => (error as { code: string } | undefined)?.code)).toEqual([
      undefined,
      'invalid-argument',
      undefined,
      undefined,
      'unsupported-option',
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
      'invalid-argument',
    ])
    expect(answers[0]).toMatchObject({ id: 'first', usage: { outputTokens: 2 } })
    expect(answers[2]).toMatchObject({ id: 7, inputIds: [40, 41], usage: { outputTokens: 3 } })
    expect(answers[2]).not.toHaveProperty('prompt')
    expect(answers[3]?.['prompt']).toMatch(/^<\|im_start\|>user/)
  })

  it('prints the errors of lines to stderr without --json', async () => {
    const { code, out, err } = await fed(
      '{"prompt": 5}\n{"prompt": "a"}\n',
      'generate',
      '-m',
      small.t5,
      ...fast,
      '--input',
      '-',
    )
    expect(code).toBe(1)
    expect(err).toMatch(ONE_LINE)
    expect(out).not.toBe('')
  })

  it('reads options of generation from a file, and from none', async () => {
    const file = join(small.directory, 'generation.json')
    await writeFile(file, '{"max_new_tokens": 3, "do_sample": null, "temperature": 0.5}')
    const run = async (...extra: string[]) => {
      const { out } = await tandem('generate', '-m', small.qwen, ...fast, '--json', ...extra, 'abc')
      return (jsonLines(out) as unknown as { usage: { outputTokens: number } }[])[0]?.usage.outputTokens
    }
    expect(await run('--generation-config', file)).toBe(3)
    expect(await run('--generation-config', file, '--max-new-tokens', '2')).toBe(2)
    expect(await run('--no-defaults', '--max-new-tokens', '2')).toBe(2)
    const missing = await tandem('generate', '-m', small.qwen, '--generation-config', '/no/such', 'a')
    expect(missing).toMatchObject({ code: 1, err: expect.stringMatching(/^tandem: \[not-found\]/) })
  })

  it('appends the end token when asked', async () => {
    const { out } = await tandem('generate', '-m', small.t5, ...fast, '--json', '--append-eos', '')
    expect(jsonLines(out)[0]).toMatchObject({ inputIds: [1] })
    expect(await tandem('generate', '-m', small.t5, ...fast, '')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^tandem: \[invalid-argument\] [^\n]+\n$/),
    })
  })

  it.each([
    ['--num-beam-groups', '5'],
    ['--guidance-scale', '1.5'],
  ])('refuses %s %s with unsupported-option', async (option, value) => {
    const { code, out, err } = await tandem('generate', '-m', small.qwen, ...fast, option, value, 'a')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(ONE_LINE)
    expect(err).toMatch(/^tandem: \[unsupported-option\]/)
  })

  it('runs every search, prints every text and tells its seed', async () => {
    const run = async (...options: string[]) => {
      const { code, out, err } = await tandem('generate', '-m', small.qwen, ...fast, '--json', ...options, 'a')
      expect({ code, err }).toEqual({ code: 0, err: '' })
      return jsonLines(out)[0] as { sequences: { ids: number[]; score: number | null }[]; seed?: number }
    }
    const beams = await run('--num-beams', '3', '--num-return-sequences', '2', '--no-repeat-ngram-size', '2')
    expect(beams.sequences).toHaveLength(2)
    expect(beams.sequences[0]?.score).toBeLessThan(0)
    expect(beams).not.toHaveProperty('seed')
    const sampled = await run('--search', 'sampling', '--max-new-tokens', '5')
    expect(sampled.seed).toBeGreaterThanOrEqual(0)
    const again = await run('--search', 'sampling', '--max-new-tokens', '5', '--seed', String(sampled.seed))
    expect(again.sequences).toEqual(sampled.sequences)
    const contrastive = await run('--penalty-alpha', '0.6', '--top-k', '4', '--stop', 'x', '--stop', '。')
    expect(contrastive.sequences[0]?.score).toBeNull()
    const { out } = await tandem(
      'generate',
      '-m',
      small.qwen,
      ...fast,
      '--num-beams',
      '2',
      '--num-return-sequences',
      '2',
      'a',
    )
    expect(out.trimEnd().split('\n')).toHaveLength(2)
  })

  it.each([
    [1, 'invalid-argument', ['generate', '-m', 'nano-qwen', '--search', 'greedy', '--num-beams', '5', 'a']],
    [1, 'invalid-argument', ['generate', '-m', 'nano-qwen', '--num-return-sequences', '5', 'a']],
    [1, 'not-found', ['generate', '-m', '/no/such/model', 'a']],
    [1, 'not-found', ['tokenize', '-m', '/', 'a']],
    [1, 'invalid-file', ['generate', '-m', MAIN, 'a']],
    [1, 'invalid-argument', ['generate', '-m', MAIN, '--quantize', 'f32', 'a']],
    [2, 'usage', ['generate', 'a']],
    [2, 'usage', ['generate', '-m', 'nano-qwen']],
    [2, 'usage', ['generate', '-m', 'nano-qwen', '--num-beems', '2', 'a']],
    [2, 'usage', ['generate', '-m', 'nano-qwen', '--threads', 'two', 'a']],
    [2, 'usage', ['generate', '-m', 'nano-qwen', '--kv-type', 'q2', 'a']],
    [2, 'usage', ['tokenize', '-m', 'nano-qwen']],
    [2, 'usage', ['convert', 'nano-qwen']],
    [2, 'usage', ['fly']],
  ])('ends with code %i and one line [%s] for %j', async (code, name, parameters) => {
    const outcome = await tandem(...parameters)
    expect(outcome).toMatchObject({ code, out: '' })
    expect(outcome.err).toMatch(ONE_LINE)
    expect(outcome.err).toContain(`[${name}]`)
  })

  it('reports a missing input file', async () => {
    const outcome = await tandem('generate', '-m', small.t5, ...fast, '--json', '--input', '/no/such/file.jsonl')
    expect(outcome).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^tandem: \[not-found\]/) })
  })

  it('ends with 130 after SIGINT, in the middle of a text and while it waits for input', async () => {
    const endless = ['--max-new-tokens', '1000000', '--eos-token-id', 'null', '--context-size', '100000']
    const running = start('generate', '-m', small.t5, ...fast, ...endless, 'abc')
    const ended = outcomeOf(running)
    running.stdout?.once('data', () => running.kill('SIGINT'))
    expect(await ended).toMatchObject({ code: 130, err: '' })

    const waiting = start('generate', '-m', small.t5, ...fast, '--json', '--input', '-')
    const waited = outcomeOf(waiting)
    waiting.stdin?.write('{"prompt": "abc"}\n')
    waiting.stdout?.once('data', () => waiting.kill('SIGINT'))
    expect(await waited).toMatchObject({ code: 130, err: '' })
  })

  it('says nothing when its reader goes away', async () => {
    const child = start('generate', '-m', small.t5, ...fast, '--json', '--input', '-')
    const ended = outcomeOf(child)
    child.stdin?.on('error', () => undefined)
    child.stdout?.once('data', () => child.stdout?.destroy())
    child.stdin?.end('{"prompt": "abc"}\n'.repeat(2000))
    expect(await ended).toMatchObject({ code: 0, err: '' })
  })
})

describe('tandem chat', () => {
  it('answers one message, from its arguments or from a pipe', async () => {
    const options = ['-m', 'nano-qwen', '--device', 'cpu', '--do-sample', 'false']
    const asked = await tandem('chat', ...options, '你是谁?')
    expect(asked).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^我是.*nano-qwen/) as string })
    expect(await fed('你是谁?\n', 'chat', ...options)).toMatchObject({ code: 0, out: asked.out })
    const { out } = await tandem('chat', ...options, '--json', '你是谁?')
    expect(jsonLines(out)).toMatchObject([
      { index: 0, sequences: [{ text: asked.out.trimEnd(), finishReason: 'eos' }] },
    ])
  })

  it('ends every message of an encoder-decoder with its end token', async () => {
    const { out } = await tandem('chat', '-m', 'nano-chatlm', '--device', 'cpu', '请把下面的话翻译为英语:你好吗?')
    expect(out).toBe('How are you?\n')
  })
})

describe('tandem template', () => {
  it('shows what a chat becomes, from an argument and from lines', async () => {
    const { code, out } = await tandem('template', '-m', 'nano-qwen', '--system', 'S', '你是谁?')
    expect(code).toBe(0)
    expect(out).toBe('<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n你是谁?<|im_end|>\n<|im_start|>assistant\n\n')
    const lines = [
      '{"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": false, "id": "x"}',
      '{"messages": [{"role": "user", "content": "<|im_end|>"}]}',
      '{"messages": 5}',
      '{"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": "no"}',
    ]
    const answer = await fed(lines.join('\n'), 'template', '-m', 'nano-qwen', '--json', '--input', '-')
    const [first, second, third, fourth] = jsonLines(answer.out) as {
      id?: string
      text?: string
      inputIds?: number[]
      error?: { code: string }
    }[]
    expect(answer.code).toBe(1)
    expect(first).toMatchObject({ id: 'x', text: expect.stringMatching(/<\|im_end\|>\n$/) as string })
    // The user's own <|im_end|> is text; the template's are control tokens, the same in both.
    const end = first?.inputIds?.at(-2)
    const ends = (ids: number[] | undefined) => ids?.filter((id) => id === end).length
    expect(second?.text).toContain('<|im_end|><|im_end|>')
    expect(ends(second?.inputIds)).toBe(ends(first?.inputIds))
    expect([third?.error?.code, fourth?.error?.code]).toEqual(['invalid-argument', 'invalid-argument'])
  })

  it('needs a template and something to render', async () => {
    expect(await tandem('template', '-m', 'nano-chatlm', 'a')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^tandem: \[unsupported-model\] The model has no chat template/) as string,
    })
    expect((await tandem('template', '-m', 'nano-qwen')).code).toBe(2)
  })
})

describe('tandem tokenize', () => {
  it('goes both ways', async () => {
    const { out, code } = await tandem('tokenize', '-m', small.qwen, '--json', 'ab', '你')
    expect(code).toBe(0)
    const [first, second] = jsonLines(out)
    expect(first).toEqual({
      index: 0,
      inputIds: expect.any(Array),
      attentionMask: expect.any(Array),
      tokens: expect.any(Array),
    })
    const ids = second?.['inputIds'] as number[]
    const back = await fed(
      `{"ids": [${[...ids, 322]}]}\n{"ids": [-1]}\n`,
      'tokenize',
      '-m',
      small.qwen,
      '--json',
      '--decode',
      '--input',
      '-',
    )
    expect(back.code).toBe(1)
    expect(jsonLines(back.out)).toEqual([
      { index: 0, text: '你', textWithSpecialTokens: '你<|im_end|>' },
      { index: 1, error: { code: 'invalid-argument', message: expect.any(String) } },
    ])
    expect((await tandem('tokenize', '-m', small.qwen, '--decode', ...ids.map(String))).out).toBe('你\n')
    expect((await tandem('tokenize', '-m', small.qwen, 'ab')).out).not.toBe('')
  })
})

describe('tandem convert', () => {
  it('writes a file that generates', async () => {
    const output = join(small.directory, 'out.gguf')
    const report = await tandem('convert', small.t5, '-o', output, '--quantize', 'f16', '--json')
    expect(report).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^tandem: 97 of the 320 rows[^\n]*\n$/) as string,
    })
    expect(jsonLines(report.out)[0]).toMatchObject({ output, quantization: 'f16', architecture: 't5' })
    expect((await readFile(output)).subarray(0, 4).toString()).toBe('GGUF')
    expect(await tandem('generate', '-m', output, '--threads', '1', '--device', 'cpu', 'abc')).toMatchObject({
      code: 0,
      err: '',
    })
  })

  it('says which tensors became another type than was asked for', async () => {
    const output = join(small.directory, 'narrow.gguf')
    const { code, out, err } = await tandem('convert', 'nano-chatlm', '-o', output, '--quantize', 'q4_k', '--json')
    expect(code).toBe(0)
    // nano-chatlm is 224 wide and its feed-forward 640, no multiples of 256. The embedding, then in each of three layers
    // five matrices of the encoder and nine of the decoder read the width; one of each reads the feed-forward.
    expect(err).toBe(
      'tandem: 43 of 68 tensors: rows of 224 values cannot be q4_k and became q5_0\n' +
        'tandem: 6 of 68 tensors: rows of 640 values cannot be q4_k and became q5_0\n',
    )
    const { fallbacks, quantization } = jsonLines(out)[0] as { fallbacks: object[]; quantization: string }
    expect(quantization).toBe('q4_k')
    expect(fallbacks).toHaveLength(49)
    expect(fallbacks[0]).toEqual({
      tensor: expect.any(String),
      wanted: 'q4_k',
      type: 'q5_0',
      rowLength: expect.any(Number),
    })
  })

  it('takes a GGUF file, and one that is quantised already only if told so', async () => {
    const [wide, narrow, again] = ['wide', 'narrow', 'again'].map((name) => join(small.directory, `qwen-${name}.gguf`))
    const convert = (from = '', to = '', ...more: string[]) => tandem('convert', from, '-o', to, ...more)
    expect(await convert('nano-qwen', wide, '--quantize', 'bf16')).toMatchObject({ code: 0, err: '' })
    expect(await convert(wide, narrow, '--quantize', 'q8_0')).toEqual({ code: 0, out: `${narrow}\n`, err: '' })
    const refused = await convert(narrow, again, '--quantize', 'q4_0')
    expect(refused).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/\[invalid-argument\].*--allow-requantize/),
    })
    const allowed = await convert(narrow, again, '--quantize', 'q4_0', '--allow-requantize')
    expect(allowed).toEqual({
      code: 0,
      out: `${again}\n`,
      err: 'tandem: 29 of 50 tensors were quantised already: the original model gives better weights\n',
    })
    const generated = await tandem('generate', '-m', again ?? '', '--device', 'cpu', '--threads', '1', '你是谁?')
    expect(generated).toMatchObject({ code: 0, err: '' })
  })

  it('lists the types where one is unknown', async () => {
    const { code, err } = await tandem('convert', 'nano-qwen', '-o', '/tmp/x.gguf', '--quantize', 'q4')
    expect(code).toBe(1)
    for (const name of ['f32', 'q4_0', 'q4_k', 'q4_k_m', 'iq4_xs', 'mxfp4']) expect(err).toContain(` ${name},`)
  })

  it.each([
    [['convert', '/no/such', '-o', '/tmp/x.gguf'], 'not-found'],
    [['convert', MAIN, '-o', '/tmp/x.gguf'], 'invalid-file'],
    [['convert', 'nano-chatlm', '-o', '/tmp/x.gguf', '--quantize', 'q4_k_m'], 'unsupported-option'],
    [['convert', 'nano-qwen', '-o', '/tmp/x.gguf', '--quantize', 'q9'], 'invalid-argument'],
  ])('refuses %j with %s', async (parameters, code) => {
    const outcome = await tandem(...parameters)
    expect(outcome).toMatchObject({ code: 1, out: '' })
    expect(outcome.err).toMatch(ONE_LINE)
    expect(outcome.err).toContain(`[${code}]`)
  })
})

describe('tandem demo', () => {
  it('shows both models at work', async () => {
    const { code, out, err } = await tandem('demo', '--device', 'cpu')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const text of ['nano-chatlm', 'nano-qwen', 'How are you?', '<|im_start|>user', '我是nano-qwen', 'tokens/s']) {
      expect(out).toContain(text)
    }
  })
})

describe('tandem', () => {
  it('tells its version and its commands', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await tandem('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' })
    const { code, out } = await tandem('--help')
    expect(code).toBe(0)
    for (const name of ['demo', 'convert', 'generate', 'tokenize']) expect(out).toContain(name)
  })
})
