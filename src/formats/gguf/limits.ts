/**
 * Bounds on what a GGUF file may claim. Every count and length is also checked against the bytes that are left in the
 * file, so these only stop absurd values early; each is far above anything that is published.
 */

/** The layout of versions 2 and 3 is the same for little-endian files; version 1 had 32-bit lengths. */
export const SUPPORTED_VERSIONS: readonly number[] = [2, 3]

/** https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: used when `general.alignment` is absent. */
export const DEFAULT_ALIGNMENT = 32

/** Known files use 32, some 64 or a page; more would only serve to make the padding overflow. */
export const MAX_ALIGNMENT = 65_536

/** The specification allows keys of at most 65535 bytes. */
export const MAX_KEY_BYTES = 65_535

/** llama.cpp's loader refuses names of 64 bytes or more (`GGML_MAX_NAME`). */
export const MAX_TENSOR_NAME_BYTES = 63

/** ggml's tensors have at most four dimensions (`GGML_MAX_DIMS`). */
export const MAX_DIMENSIONS = 4

/** A real file has some 50 keys; adapters and merged models a few hundred. */
export const MAX_METADATA_KEYS = 65_536

/** The largest mixture-of-experts models have some 100,000 tensors before their experts are merged. */
export const MAX_TENSORS = 1_048_576

/** The longest value is a whole tokenizer.json: 35 MB for a vocabulary of 262,144 tokens. */
export const MAX_STRING_BYTES = 134_217_728

/** The longest arrays are merges: some 500,000 strings. */
export const MAX_ARRAY_ITEMS = 4_194_304

/** Strings of all arrays together: each is an object of its own, and 16 million of them fill the heap of Node.js. */
export const MAX_STRINGS = 8_388_608

/** All metadata and tensor descriptions together, so that a reader's memory is bounded. */
export const MAX_HEADER_BYTES = 402_653_184
