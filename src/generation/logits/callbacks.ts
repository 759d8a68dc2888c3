import type { LogitsProcessorCallback } from '../options.ts'
import type { LogitsProcessor } from './processor.ts'

/** A rule of the caller's own, which sees and changes the whole row; the ids are the caller's to keep. */
export function callback(process: LogitsProcessorCallback): LogitsProcessor {
  return (ids) => ({ kind: 'callback', process: (scores) => process([...ids], scores) })
}
