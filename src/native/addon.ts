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

/** What multiplies packed matrices of the models that libllama runs on a CPU. */
export interface LibllamaKernels {
  /** One of {@link Addon.kernels}, or `ggml`. */
  kernels: string
  /** Why it is `ggml`; null when it is not. */
  reason: string | null
}

/** A device that llama.cpp can compute on. */
export interface NativeDevice {
  /** What `load` takes as `device`: `CPU`, `CUDA0`, … */
  name: string
  /** For people: the name of the product. */
  description: string
  /** ggml's device type: `cpu`, `gpu`, `igpu` or `accelerator`. */
  type: string
  /** ggml's backend registry: `CPU`, `CUDA`, `Vulkan`, `Metal`, … */
  backend: string
  /** Bytes, at the time of the call. */
  memoryFree: number
  /** Bytes. */
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
  /** What multiplies packed matrices on a CPU: one of {@link Addon.kernels}, or `ggml`. */
  kernels: string
  /** Cells of decoder self-attention, shared by all sequences (a token each), and the longest source. */
  contextSize: number
}

export interface DecoderOnlyOptions extends EngineOptions {
  /** Tokens of all sequences together. */
  contextSize: number
  /** Sequences that may live at once; libllama's limit of 256 less the engine's own. */
  maxSequences: number
  /** Tokens computed in one piece of a prompt. */
  batchSize: number
  /** Rows of a table of learned positions; 0 when the model has none. */
  positionLimit: number
  /** `general.architecture`. */
  architecture: string
  /** Tokens of the model, whose texts libllama then leaves unread; 0: it reads them. */
  vocabularySize: number
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
  /** What is wanted of each token: flags of {@link Output}. */
  outputs: Uint8Array
}

/** Flags of what is wanted of a token. */
export const Output = {
  /** The distribution that follows the token. */
  distribution: 1,
  /** What the last layer made of the token, after the final norm. */
  hiddenState: 2,
} as const

/** A random generator of the addon, see {@link Addon.createGenerator}; only one step at a time may draw from it. */
export interface NativeGenerator {
  readonly native: 'generator'
}

/**
 * Candidates are drawn without replacement instead of being the best. The reference fills a whole matrix
 * `[matrixRows, vocabulary]` with random numbers at each step, also for hypotheses that have ended; the draws of rows that
 * are not asked for are skipped. With beam scores all outputs are one distribution over rows that lie side by side.
 */
export interface StepDraw {
  generator: NativeGenerator
  /** The row of the matrix that each output draws from, ascending. */
  rows: Int32Array
  matrixRows: number
}

/**
 * What to do with the wanted rows of logits, in the order of the outputs. Edits are applied in order, before the
 * candidates are chosen.
 */
export interface StepRequest {
  /** How many tokens to return for each output, or for all outputs together when there are beam scores; at least 1. */
  candidates: number
  /** Also return the whole edited rows; for measurements and a user's own callback. */
  logits: boolean
  /** Quintuples of (output, kind, first index into `editIds`, count, tokens to keep). Kinds: {@link EditKind}. */
  edits: Int32Array
  /** One value per edit. */
  editValues: Float64Array
  editIds: Int32Array
  /** `[outputs]`: added to the edited scores, and the outputs then compete for the candidates. Empty: each is alone. */
  beamScores: Float32Array
  draw: StepDraw | null
}

/** The kinds of row edits that `native/sampling/row_edits.h` knows, with what their value means. */
export const EditKind = {
  /** Each id once: a negative score times the value, any other divided by it (`repetition_penalty`). */
  penalize: 0,
  /** The ids get minus infinity. */
  ban: 1,
  /** All but the ids get minus infinity; if none of them has more, they get 0 (among beams: if that is so in all). */
  keep: 2,
  /** The ids get 0, all others minus infinity. */
  force: 3,
  /** The value is added to the ids. */
  add: 4,
  /** The ids' scores grow by their size times the value (`exponential_decay_length_penalty`). */
  decay: 5,
  /** What is no number becomes 0, and infinities the largest floats. */
  removeInvalid: 6,
  logSoftmax: 7,
  // The warpers; the value is the option's own.
  temperature: 8,
  topH: 9,
  topK: 10,
  topP: 11,
  minP: 12,
  typicalP: 13,
  epsilonCutoff: 14,
  etaCutoff: 15,
} as const

/** A group is an output, or all outputs together when they compete. Tokens that are banned or no numbers are left out. */
export interface StepResult {
  /** Of all groups one after the other; best first (ties: the earlier row, then the lower id), or as they were drawn. */
  ids: Int32Array
  /** As long as `ids`: edited logits, with the beam score if there is one. */
  scores: Float32Array
  /** As long as `ids`: the output that each continues; 0 in groups of one. */
  beams: Int32Array
  /** `[groups]`: how many of the ids are each group's. */
  counts: Int32Array
  /** `[outputs]`, of the edited logits; 0 when rows compete. */
  logSumExp: Float32Array
  /** `[outputs × vocabulary]`, empty unless asked for. */
  logits: Float32Array
  /** `[wanted hidden states × hiddenSize]`, in the order of the tokens. */
  hiddenStates: Float32Array
}

export interface EngineDescription {
  vocabularySize: number
  /** 0 when the model sets no limit. */
  maxPositions: number
  maxSequences: number
  /** Values of a hidden state. */
  hiddenSize: number
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
  /** What a step does with its rows of logits, for `[outputs × vocabulary]` rows that a callback has changed. */
  choose(logits: Float32Array, request: StepRequest, call: number): Promise<StepResult>
  /** Forgets sequences and sources; unknown numbers are ignored. */
  release(sequences: Int32Array, sources: Int32Array): Promise<void>
  /** Makes the waiting or running call reject with `aborted`, within one graph node on a CPU. */
  cancel(call: number): void
  /** Idempotent. Rejects what is waiting, stops the thread, frees the weights. */
  dispose(): Promise<void>
}

/** `native/engine/row_conversion.h`. Types are `ggml_type` numbers; `to` is one that a matrix of a model may have. */
export interface RowConversion {
  from: number
  to: number
  /** Values of a row: whole blocks of both types. */
  rowLength: number
  threads: number
}

/** `native/engine/matrix_product.h` */
export interface MatrixProduct {
  /** Values of a row of the matrix and of the activations, whole blocks of 32. */
  inputs: number
  /** `ggml_type` number of the matrix, one that can be packed. */
  type: number
  /** One of {@link Addon.kernels}, or `ggml`. */
  kernels: string
  threads: number
}

export interface VocabularyDescription {
  vocabularySize: number
  /** Ids that the file puts before and behind every text: `add_bos_token`, `add_eos_token`. */
  prefixIds: Int32Array
  suffixIds: Int32Array
  /** Control and unknown tokens: those that a text for people leaves out. */
  specialIds: Int32Array
  /** Tokens that take the spaces on one side of them out of a text. */
  leftStrippingIds: Int32Array
  rightStrippingIds: Int32Array
  /** The eos token, which libllama guesses where the file names none; -1 where there is none. */
  eosId: number
  /** Every id at which libllama ends a text, `eosId` among them. */
  endOfGenerationIds: Int32Array
}

/**
 * `native/bind/vocabulary_object.cpp`. The tokenizer of a GGUF file, through libllama; calls may overlap, and no text
 * waits for another.
 */
export interface NativeVocabulary {
  readonly description: VocabularyDescription
  /**
   * Ids of a text without the prefix and the suffix; on a thread of its own. Those of `specialIds` that the text spells
   * become ids if `parseSpecial`, and are text otherwise. The stack grows with the text: the caller sets the limit.
   */
  tokenize(text: string, parseSpecial: boolean): Promise<Int32Array>
  /** UTF-8 of the text of ids that are all in the vocabulary; half a character where the ids end or begin in one. */
  detokenize(ids: Int32Array): Uint8Array
  /** Idempotent. Texts that are being tokenized reject with `disposed`. */
  dispose(): Promise<void>
}

export interface Addon {
  /** The llama.cpp release whose headers the addon was compiled with. */
  readonly llamaRelease: string
  /** Folder of the `libggml-base` that is already in this process, or null. */
  mappedLibrary(): string | null
  /**
   * Opens the libraries, once per process; again with the same directory it does nothing. `kernels`: what libllama is to
   * multiply packed matrices with on a CPU, one of {@link Addon.kernels} or `ggml`.
   */
  loadLibrary(files: LibraryFiles & { kernels: string }): void
  /** Opens a shared library and what it depends on, for good; the reason if that fails. */
  probeLibrary(path: string): string | null
  devices(): NativeDevice[]
  /**
   * ggml's own quantisers and conversions, on threads of their own: the same rows in another type. Rejects with
   * `invalid-file` for a value that the type cannot hold: NaN, infinity, or beyond half precision where that counts.
   */
  convertRows(source: Uint8Array, conversion: RowConversion): Promise<Uint8Array>
  /** Our kernels for packed matrices that this processor can run, the fastest first; named after their instructions. */
  kernels(): string[]
  /** What libllama multiplies packed matrices with, once the libraries are open: a process-wide choice. */
  libllamaKernels(): LibllamaKernels
  /** Rows of a type that can be packed times rows of activations, as a layer of a model computes it: `[rows × outputs]`. */
  multiplyMatrix(weights: Uint8Array, activations: Float32Array, product: MatrixProduct): Promise<Float32Array>
  /** Bytes per second at which `threads` threads together read `mebibytes` of memory; `native/engine/read_bandwidth.h`. */
  measureReadBandwidth(mebibytes: number, threads: number): Promise<number>
  openEncoderDecoder(options: EncoderDecoderOptions): Promise<NativeEngine>
  openDecoderOnly(options: DecoderOnlyOptions): Promise<NativeEngine>
  /** torch's generator for a CPU after `torch.manual_seed`; of the seed the low 32 bits count. */
  createGenerator(seed: number): NativeGenerator
  /** Loads the tokenizer of a GGUF file, whose tokenizer arrays were validated in TypeScript. */
  openVocabulary(path: string): Promise<NativeVocabulary>
  /** Ends all threads of this process that compute, and all that begin later; for a process that is about to exit. */
  endThreads(): void
}
