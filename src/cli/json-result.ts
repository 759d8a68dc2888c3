import type { GenerationResult } from '../runtime/generation-run.ts'

/** A result as `--json` prints it, times in milliseconds. */
export function jsonResult({ prompt, inputIds, sequences, seed, usage, timings }: GenerationResult): object {
  return {
    ...(prompt === undefined ? {} : { prompt }),
    inputIds,
    sequences,
    ...(seed === null ? {} : { seed }),
    usage,
    timings: Object.fromEntries(Object.entries(timings).map(([name, value]) => [name, Math.round(value * 1e3) / 1e3])),
  }
}
