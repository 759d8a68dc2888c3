/**
 * The contract with the C++ addon: every native function and class, typed once, in the order of `native/bind`.
 * TypeScript interprets and validates; C++ computes on values that are already valid. Nothing outside `native/` imports
 * this file for its values; the types are shared.
 */

/** `native/bind/library.cpp` */
export interface LibraryFiles {
  /** One of the builds of llama.cpp that node-llama-cpp ships. */
  variant: string
  /** Real path of the folder that holds the libraries and the ggml backends. */
  directory: string
  ggmlBase: string
  ggml: string
  llama: string
}

export interface NativeDevice {
  name: string
  description: string
  /** ggml's device type: `cpu`, `gpu`, `igpu` or `accelerator`. */
  type: string
  /** ggml's backend registry: `CPU`, `CUDA`, `Vulkan`, `Metal`, … */
  backend: string
  memoryFree: number
  memoryTotal: number
}

/** `native/bind/weights.cpp`. One tensor of a GGUF file whose table was validated in TypeScript. */
export interface WeightTensor {
  name: string
  /** `ggml_type` number. */
  type: number
  /** ggml order: the row length first; 1 to 4 entries. */
  shape: number[]
  /** Absolute offset in the file, bytes. */
  offset: number
  /** Size in the file, bytes. */
  size: number
}

/** Numbers of a T5 graph, in the words of Hugging Face's `config.json`. */
export interface T5Parameters {
  dModel: number
  dKv: number
  dFf: number
  numHeads: number
  numLayers: number
  numDecoderLayers: number
  vocabularySize: number
  layerNormEpsilon: number
  relativeAttentionNumBuckets: number
  relativeAttentionMaxDistance: number
  /** `relu`, `gelu`, `gelu_new` or `silu`. */
  activation: string
  isGated: boolean
}

export interface EngineOptions {
  path: string
  /** A name from `devices()`. */
  device: string
  threads: number
  /** True: every value in f32, as the reference computes (on a CPU; GPU libraries may round products of f32). */
  exact: boolean
  /** `ggml_type` number of the stored keys and values: 0 (f32) or 1 (f16). */
  kvType: number
}

export interface EncoderDecoderOptions extends EngineOptions {
  parameters: T5Parameters
  tensors: WeightTensor[]
  /** Cells of decoder self-attention, shared by all sequences (a token each), and the longest source. */
  contextSize: number
}

export interface DecoderOnlyOptions extends EngineOptions {
  /** Tokens of all sequences together. */
  contextSize: number
  /** Sequences that may live at once; libllama's limit is 256. */
  maxSequences: number
  /** Tokens computed in one piece of a prompt. */
  batchSize: number
  /** Rows of a table of learned positions; 0 when the model has none. */
  positionLimit: number
}

/**
 * Rows of one native step. Row `r` continues sequence `parents[r]` at `positions[r]` with its next `tokenCounts[r]`
 * entries of `tokens`, and is from then on sequence `sequences[r]`. All parents are read before any sequence is
 * replaced, so a permutation of beams is one call and copies no keys or values. A parent of -1 starts empty.
 */
export interface StepRows {
  sequences: Int32Array
  parents: Int32Array
  positions: Int32Array
  /** Encoded source that the row attends to; -1 for decoder-only models. */
  sources: Int32Array
  tokenCounts: Int32Array
  tokens: Int32Array
  /** One flag per token: 1 where the distribution that follows that token is wanted. */
  outputs: Uint8Array
}

/**
 * What to do with the wanted rows of logits, in the order of the outputs. Edits are applied in order, before the
 * candidates are chosen.
 */
export interface StepRequest {
  /** How many of the best tokens to return for each output, at least 1. */
  candidates: number
  /** Also return the whole edited rows; for measurements and a user's own callback. */
  logits: boolean
  /** Quadruples of (output, kind, first index into `editIds`, count). Kinds: {@link EditKind}. */
  edits: Int32Array
  /** One value per edit. */
  editValues: Float32Array
  editIds: Int32Array
}

/** The kinds of row edits that `native/sampling/row_edits.h` knows. */
export const EditKind = {
  /** Each id once: a negative score times the value, any other divided by it (`repetition_penalty`). */
  penalize: 0,
  /** The ids get minus infinity. */
  ban: 1,
} as const

export interface StepResult {
  /** `[outputs × candidates]`, best first; ties by the lower id. */
  ids: Int32Array
  /** `[outputs × candidates]`, edited logits. */
  scores: Float32Array
  /** `[outputs]`, of the edited logits. */
  logSumExp: Float32Array
  /** `[outputs × vocabulary]`, empty unless asked for. */
  logits: Float32Array
}

export interface EngineDescription {
  vocabularySize: number
  /** 0 when the model sets no limit. */
  maxPositions: number
  maxSequences: number
  weightBytes: number
  device: string
}

/**
 * `native/bind/engine.cpp`. One thread of its own per engine; every promise settles, also when it is disposed. Errors
 * carry a `code` of `ErrorCode`. `call` is a number of the caller's choice for {@link NativeEngine.cancel}.
 */
export interface NativeEngine {
  readonly description: EngineDescription
  /** Runs the encoder and keeps the cross-attention keys and values under the number `source`. */
  encode(source: number, ids: Int32Array, attentionMask: Uint8Array, call: number): Promise<void>
  /** After a rejected step its sequences hold nothing reliable; release them. */
  step(rows: StepRows, request: StepRequest, call: number): Promise<StepResult>
  /** Forgets sequences and sources; unknown numbers are ignored. */
  release(sequences: Int32Array, sources: Int32Array): Promise<void>
  /** Makes the waiting or running call reject with `aborted`, within one graph node on a CPU. */
  cancel(call: number): void
  /** Idempotent. Rejects what is waiting, stops the thread, frees the weights. */
  dispose(): Promise<void>
}

export interface Addon {
  /** The llama.cpp release whose headers the addon was compiled with. */
  readonly llamaRelease: string
  /** Folder of the `libggml-base` that is already in this process, or null. */
  mappedLibrary(): string | null
  /** Opens the libraries, once per process; again with the same directory it does nothing. */
  loadLibrary(files: LibraryFiles): void
  /** Opens a shared library and what it depends on, for good; the reason if that fails. */
  probeLibrary(path: string): string | null
  devices(): NativeDevice[]
  /**
   * ggml's own quantisers and float conversions. `source` holds whole rows of `rowLength` values of `from`
   * (0 f32, 1 f16, 30 bf16); the result holds the same rows in type `to`.
   */
  convertRows(source: Uint8Array, from: number, to: number, rowLength: number): Uint8Array
  openEncoderDecoder(options: EncoderDecoderOptions): Promise<NativeEngine>
  openDecoderOnly(options: DecoderOnlyOptions): Promise<NativeEngine>
}
