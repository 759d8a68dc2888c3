/** A tensor of a GGUF file, by its name and its size in bytes. */
interface SizedTensor {
  name: string
  size: number
}

/**
 * What a decoder reads once: the encoder, and the projections that make cross-attention's keys and values of a source. Of
 * the token embeddings a step reads a row for each beam.
 */
const NOT_IN_STEPS = /^(enc\.|dec\.blk\.\d+\.cross_attn_[kv]\.|token_embd\.|position_embd\.)/

/** Bytes of the weights that every step reads whole: by the names of llama.cpp, which all GGUF files have. */
export function stepWeightBytes(tensors: readonly SizedTensor[]): number {
  const read = tensors.filter(({ name }) => !NOT_IN_STEPS.test(name))
  const isTied = !tensors.some(({ name }) => name === 'output.weight')
  const head = isTied ? tensors.filter(({ name }) => name === 'token_embd.weight') : []
  return [...read, ...head].reduce((sum, { size }) => sum + size, 0)
}
