import { TandemError } from '../errors.ts'
import type { JsonObject } from './fields.ts'
import type { ModelFolder } from './folder.ts'

/**
 * Ids of special tokens that the model does not have. Where the decoder starts must be one; of the others each is worth a
 * word: an end that never comes, padding that nothing fills.
 * @returns warnings for people
 * @throws TandemError `invalid-file`
 */
export function checkSpecialTokenIds({ config, generationConfig }: ModelFolder, vocabularySize: number): string[] {
  const files: [string, JsonObject | undefined][] = [
    ['config.json', config.content],
    ['generation_config.json', generationConfig?.content],
  ]
  return files.flatMap(([file, content]) =>
    Object.entries(content ?? {})
      .filter(([name]) => name.endsWith('_token_id'))
      .flatMap(([name, value]) => outside(value, vocabularySize).map((id) => ({ name, id })))
      .map(({ name, id }) => {
        if (name !== 'decoder_start_token_id') {
          return `${name} ${id} of ${file} is no token of the model, which has ${vocabularySize}: nothing will match it`
        }
        throw new TandemError('invalid-file', `${name} of ${file} is not in the vocabulary`, {
          expected: `0 to ${vocabularySize - 1}`,
          received: `${id}`,
          remedy: 'Check that the file belongs to this model',
        })
      }),
  )
}

/** Null and -1 are in use for: none. */
function outside(value: unknown, vocabularySize: number): number[] {
  return [value].flat().filter((id): id is number => typeof id === 'number' && id >= vocabularySize)
}
