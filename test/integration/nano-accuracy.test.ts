import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface HeldOutPair {
  id: string
  prompt: string
  answer: string
  kind: string
}

let folder = ''
let pairs: HeldOutPair[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tandem-accuracy-'))
  const lines = await readFile(join(root, 'scripts/train/heldout.jsonl'), 'utf8')
  pairs = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as HeldOutPair)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The text that `tandem generate` gives for every prompt, in the default type. */
async function answers(model: string, requests: object[]): Promise<string[]> {
  const input = join(folder, `${model}.jsonl`)
  await writeFile(input, requests.map((request) => JSON.stringify(request)).join('\n'))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, 'dist/cli/main.js'), 'generate', '-m', model, '--json', '--input', input],
    { maxBuffer: 1 << 28, env: { ...process.env, TANDEM_CACHE: folder } },
  )
  const results = stdout.trim().split('\n')
  return results.map((line) => (JSON.parse(line) as { sequences: { text: string }[] }).sequences[0]?.text ?? '')
}

type Request = (pair: HeldOutPair) => object
const asPrompt: Request = ({ prompt }) => ({ prompt })
const asMessages: Request = ({ prompt }) => ({ messages: [{ role: 'user', content: prompt }] })

describe('the embedded models on prompts that they have never seen', () => {
  test.each([
    ['nano-chatlm', asPrompt, 0.95],
    ['nano-qwen', asMessages, 0.9],
  ])('%s', async (model, request, required) => {
    expect(pairs.length).toBeGreaterThanOrEqual(1000)
    const texts = await answers(model, pairs.map(request))
    const right = pairs.filter(({ answer }, i) => texts[i] === answer)
    const kinds = [...new Set(pairs.map(({ kind }) => kind))].map((kind) => {
      const ofKind = (list: HeldOutPair[]) => list.filter((pair) => pair.kind === kind).length
      return `${kind} ${ofKind(right)}/${ofKind(pairs)}`
    })
    console.log(`${model} q8_0: ${right.length} of ${pairs.length} exactly right (${kinds.join(', ')})`)
    expect(right.length / pairs.length).toBeGreaterThanOrEqual(required)
  })

  test('the tutorial’s prompts', async () => {
    expect(await answers('nano-chatlm', [{ prompt: '请把下面的话翻译为英语:你好吗?' }])).toEqual(['How are you?'])
    const [introduction] = await answers('nano-qwen', [{ messages: [{ role: 'user', content: '你是谁?' }] }])
    expect(introduction).toMatch(/^我是.*nano-qwen/)
  })
})
