/** Something to be measured; what follows from it stands in the units of its name. */
export type Work =
  /** Milliseconds of a step: the difference between long and short texts, over the steps. */
  | { kind: 'step'; length: number; beams: number; steps: number }
  /** Milliseconds until the first token. */
  | { kind: 'prompt'; length: number }
  /** Milliseconds of all sources together. */
  | { kind: 'batch'; lengths: number[]; beams: number; newTokens: number }
  /** Milliseconds from a process that has only imported its library to the first token. */
  | { kind: 'load'; length: number }
  /** Bytes that a process has resident at most, in which nothing else was done. */
  | { kind: 'memory'; length: number; beams: number; newTokens: number }
  /** Milliseconds of a whole process that converts a model. */
  | { kind: 'convert' }

/** A program at one of its settings. */
export interface Contender {
  /** The program. */
  peer: string
  /** Its setting. */
  setting: string
  /** How many threads compute, where it is one program with as many. */
  threads?: number
  measure(work: Work): Promise<number>
  close(): Promise<void>
}
