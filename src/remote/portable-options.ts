import { TandemError } from '../errors.ts'

/**
 * Refuses options that are functions of the caller's own: the host would have to call them in every step.
 * @throws TandemError `unsupported-option`
 */
export function requirePortable(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (![value].flat().some((item) => typeof item === 'function')) continue
    throw new TandemError('unsupported-option', `${name} is a function, which cannot go to another thread or process`, {
      remedy: 'Load the model in this process, with load()',
    })
  }
}
