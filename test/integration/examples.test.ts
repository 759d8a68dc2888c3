import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LanguageModel, load } from '../../src/index.ts'

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url))
const FILES = (await readdir(EXAMPLES)).filter((file) => /\.[cm]?js$/.test(file))

let directory: string
let chatlm: LanguageModel
let qwen: LanguageModel
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-examples-'))
  chatlm = await load('nano-chatlm', { cacheDirectory: directory })
  qwen = await load('nano-qwen', { cacheDirectory: directory })
})
afterAll(async () => {
  await chatlm?.dispose()
  await qwen?.dispose()
  await rm(directory, { recursive: true, force: true })
})

/** Runs an example as a user does, but from another folder; rejects with what it wrote if it fails. */
async function run(file: string): Promise<string> {
  const env = { ...process.env, TANDEM_CACHE: directory, TMPDIR: directory }
  const { stdout } = await promisify(execFile)(process.execPath, [join(EXAMPLES, file)], { cwd: directory, env })
  return stdout
}

const asked = (content: string) => [{ role: 'user', content }]
const answer = async (question: string) => (await qwen.generate(asked(question), { maxNewTokens: 64 })).text

/** What each example must print, by what the library gives in this process. */
const CHECKS: Readonly<Record<string, (output: string) => Promise<void>>> = {
  'abort.mjs': async (output) => {
    const [, tokens] = /^left: abort, (\d+) tokens$/m.exec(output) ?? []
    expect(Number(tokens)).toBeGreaterThanOrEqual(5)
    expect(Number(tokens)).toBeLessThan(900)
    expect(output).toContain('signal: aborted, because the reader has gone\n')
    expect(output).toMatch(/^time: \w+, fewer than 900 tokens: true$/m)
    expect(output).toContain(`after: ${await answer('你是谁?')}\n`)
  },
  'chat-stream.mjs': async (output) => {
    const { text, ids, usage } = await qwen.generate(asked('你是谁?'), { maxNewTokens: 128 })
    expect(text).toContain('nano-qwen')
    const counts = `${usage.inputTokens} tokens read, ${ids.length} written, ended by eos`
    expect(output).toBe(`${text}\nids: ${ids.join(' ')}\n${counts}\n`)
  },
  'commonjs.cjs': async (output) => {
    expect(output).toBe('She drinks tea every morning.\n')
  },
  'conversation.mjs': async (output) => {
    const system = '你是一个助手。'
    const conversation = qwen.converse({ system })
    for (const text of ['你好', '中国的首都是哪里?', '谢谢']) {
      const { text: said } = await conversation.send(text, { maxNewTokens: 64 })
      expect(output).toContain(`user: ${text}\nassistant: ${said}\n`)
    }
    expect(JSON.parse(output.trim().split('\n').at(-1) ?? '')).toEqual(conversation.messages)
    expect(conversation.messages).toHaveLength(7)
    await conversation.dispose()
  },
  'convert-inspect.mjs': async (output) => {
    expect(output).toContain(': qwen2, 3707136 parameters, ')
    expect(output).toContain('blk.0.ffn_down.weight: q5_1 instead of q5_k\n')
    expect(output).toContain('decoder-only, q5_k_m, 4480 tokens (BPE)\n')
    expect(output).toMatch(/^memory: \d{8,9} bytes$/m)
    expect(output).toContain('answer: 中国的首都是北京。\n')
  },
  'encoder-decoder.mjs': async (output) => {
    const prompt = '请把下面的话翻译为英语:你好吗?'
    const options = { numBeams: 5, numReturnSequences: 3, noRepeatNgramSize: 4, appendEos: true }
    const { sequences } = await chatlm.generate(prompt, options)
    expect(sequences[0]?.text).toBe('How are you?')
    const beams = sequences.map(({ score, text }) => `  ${score?.toFixed(3)} ${text}\n`)
    expect(output).toContain(`${prompt} → How are you?\n${beams.join('')}`)
    expect(output).toContain('天空是什么颜色? → 天空是蓝色的。\n')
  },
  'engine.mjs': async (output) => {
    const answers = [await answer('你是谁?'), await answer('中国的首都是哪里?')]
    expect(output).toBe(`${answers[0]}\nengine-crashed: signal SIGKILL\n${answers[1]}\n`)
  },
  'many-requests.mjs': async (output) => {
    const lines = output.trim().split('\n')
    expect(lines.pop()).toBe('fulfilled, invalid-argument, fulfilled')
    expect(lines).toHaveLength(5)
    for (const line of lines) {
      const [question = '', given] = line.split(' → ')
      expect(given).toBe(await answer(question))
    }
    expect(lines).toContain('天空是什么颜色? → 天空是蓝色的。')
  },
  'steps.mjs': async (output) => {
    const prompt = '请把下面的话翻译为英语:我喜欢喝茶。'
    let steps = 0
    const { text } = await chatlm.generate(prompt, { numBeams: 3, onStep: () => void steps++ })
    expect(output.match(/^step \d+$/gm)).toHaveLength(steps)
    expect(output).toMatch(/^ {2}✓ -\d\.\d{3} I like to drink tea\.$/m)
    expect(output).toContain(`best: ${text}\n`)
    const [first = ''] = output.match(/^token \d+ .*$/m) ?? []
    expect(first).not.toBe('')
    expect(first).not.toContain('▁I')
  },
  'tokenize.mjs': async (output) => {
    const { inputIds } = await qwen.tokenizer.encode('你好，世界')
    expect(output).toContain(`ids: ${inputIds.join(' ')}\n`)
    expect(output).toContain('text: 你好，世界\n')
    expect(output).toContain('pieces: ["你好","，","世","界",""]\n')
    expect(output).toContain('<|im_end|> is spelled 3 times and is a token 2 times\n')
    expect(output).toContain(`answer: ${await answer('你是谁?')}\n`)
  },
}

describe('the examples', () => {
  it('each have a check, and say at their top how they are run', async () => {
    expect(FILES.toSorted()).toEqual(Object.keys(CHECKS).toSorted())
    for (const file of FILES) {
      const [first = ''] = (await readFile(join(EXAMPLES, file), 'utf8')).split(/^(?!\/\/)/m)
      expect(first).toContain(`//   node examples/${file}`)
    }
  })

  it.each(FILES)('%s prints what the library gives', async (file) => {
    await CHECKS[file]?.(await run(file))
  })
})
