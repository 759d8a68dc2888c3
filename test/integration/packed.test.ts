import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Application, installPacked } from './packed-package.ts'

const TYPESCRIPT = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))
const TYPE_ROOTS = fileURLToPath(new URL('../../node_modules/@types', import.meta.url))

let application: Application
let files: string[]
beforeAll(async () => {
  application = await installPacked()
  const entries = await readdir(application.package, { recursive: true, withFileTypes: true })
  files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(application.package, join(parentPath, name)))
})
afterAll(() => application?.remove())

/** Links of a Markdown file to other files, without those into the web or the file itself. */
function linkedFiles(markdown: string): string[] {
  return [...markdown.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
}

describe('the packed package', () => {
  it('holds what runs, the addon included, and what it says of itself', () => {
    const needed = ['dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'dist/remote/engine-host.js', 'LICENSE']
    needed.push('build/Release/tandem.node', 'models/nano-chatlm/model.safetensors', 'models/nano-qwen/tokenizer.json')
    needed.push('native/CMakeLists.txt', 'scripts/build-native.mjs', 'README.md', 'README.zh-CN.md', 'NOTICES.md')
    expect(files).toEqual(expect.arrayContaining(needed))
  })

  it('holds nothing else', () => {
    const folders = new Set(files.map((file) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : '')))
    expect([...folders].toSorted()).toEqual(['', 'build', 'dist', 'docs', 'examples', 'models', 'native', 'scripts'])
    expect(files.filter((file) => /^(build|scripts)\//.test(file)).toSorted()).toEqual([
      'build/Release/tandem.node',
      'scripts/build-native.mjs',
    ])
    // npm would compile at every installation if it saw a binding.gyp at the root.
    expect(files.filter((file) => /\.gyp$|\.test\.|\.gguf$|\.part$|node_modules|tsbuildinfo/.test(file))).toEqual([])
  })

  it('holds every file that its own texts link to', async () => {
    const texts = files.filter((file) => /^(README[^/]*|docs\/.*|CHANGELOG|CONTRIBUTING|NOTICES)\.md$/.test(file))
    expect(texts.length).toBeGreaterThan(8)
    const broken = []
    for (const text of texts) {
      const targets = linkedFiles(await readFile(join(application.package, text), 'utf8'))
      broken.push(...targets.filter((to) => !existsSync(join(application.package, dirname(text), to))))
    }
    expect(broken).toEqual([])
  })

  it('holds maps that need no other file', async () => {
    const map = await readFile(join(application.package, 'dist/index.js.map'), 'utf8')
    expect(JSON.parse(map).sourcesContent).toEqual([expect.stringContaining('export')])
  })

  it('runs the demonstration without a compiler, a checkout or the packages that build', async () => {
    const { stdout } = await application.node('node_modules/tandem-llm/dist/cli/main.js', 'demo', '--quiet')
    expect(stdout).toContain('How are you?')
    expect(stdout).toContain('nano-qwen')
  })

  it('finds its own addon and llama.cpp', async () => {
    const { stdout } = await application.node('node_modules/tandem-llm/dist/cli/main.js', 'doctor', '--json')
    const { library, canRun } = JSON.parse(stdout)
    expect(library.addon).toBe(join(application.package, 'build/Release/tandem.node'))
    expect(library.loaded).not.toBeNull()
    expect(canRun).toBe(true)
  })

  it('is imported, required, and has an engine of its own', async () => {
    const generate = `await (await from.load('nano-chatlm', { device: 'cpu' })).generate('翻译成英文：她每天早上喝茶。')`
    const use = (from: string) =>
      `(async () => { const from = ${from}; console.log((${generate}).text); process.exit() })()`
    const import_ = `import * as library from 'tandem-llm'; ${use('library')}`
    const engine = `import { startEngine } from 'tandem-llm'; ${use("await startEngine({ in: 'process' })")}`
    const outputs = await Promise.all([
      application.node('--input-type=module', '-e', import_),
      application.node('-e', use("require('tandem-llm')")),
      application.node('--input-type=module', '-e', engine),
    ])
    for (const { stdout } of outputs) expect(stdout).toBe('She drinks tea every morning.\n')
  })

  it('runs the examples that it holds', async () => {
    const { stdout } = await application.node('node_modules/tandem-llm/examples/commonjs.cjs')
    expect(stdout).toBe('She drinks tea every morning.\n')
  })

  it('has types that a strict program compiles with, and that know a wrong option', async () => {
    const program = (option: string) => `
      import { convert, type GenerationResult, inspect, load, startEngine, TandemError } from 'tandem-llm'
      const model = await load('nano-qwen', { device: 'cpu' })
      const result: GenerationResult = await model.generate([{ role: 'user', content: '你好' }], { ${option} })
      for await (const piece of model.stream('你好')) console.log(piece.length, result.ids[0]?.toFixed())
      const report = await convert('folder', { output: 'model.gguf', quantization: 'q8_0' })
      console.log(report.fallbacks.length, (await inspect(report.output)).memory.total)
      const engine = await startEngine({ in: 'process' })
      await engine.dispose().catch((error) => error instanceof TandemError && error.code === 'disposed')
    `
    const compile = async (name: string, option: string) => {
      await writeFile(join(application.directory, name), program(option))
      const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023', '--skipLibCheck', 'false']
      const arguments_ = [...options, '--typeRoots', TYPE_ROOTS, '--types', 'node', name]
      return application.node(TYPESCRIPT, ...arguments_).then(
        () => '',
        ({ stdout }: { stdout: string }) => stdout,
      )
    }
    expect(await compile('right.mts', 'numBeams: 2')).toBe('')
    expect(await compile('wrong.mts', 'numBeems: 2')).toMatch(/^wrong\.mts.*numBeems/)
  })
})
