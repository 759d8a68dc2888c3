import { describe, expect, it } from 'vitest'
import { stepWeightBytes } from './step-weights.ts'

const sized = (sizes: Record<string, number>) => Object.entries(sizes).map(([name, size]) => ({ name, size }))

describe('stepWeightBytes', () => {
  it('leaves out what an encoder-decoder reads once for a source', () => {
    const tensors = sized({
      'enc.blk.0.attn_q.weight': 1,
      'enc.output_norm.weight': 2,
      'dec.blk.0.cross_attn_k.weight': 4,
      'dec.blk.10.cross_attn_v.weight': 8,
      'dec.blk.0.cross_attn_q.weight': 16,
      'dec.blk.0.ffn_up.weight': 32,
      'token_embd.weight': 64,
      'output.weight': 128,
    })
    expect(stepWeightBytes(tensors)).toBe(16 + 32 + 128)
  })

  it('counts token embeddings where they are the head too', () => {
    const tensors = sized({ 'token_embd.weight': 1, 'blk.0.attn_k.weight': 2, 'output_norm.weight': 4 })
    expect(stepWeightBytes(tensors)).toBe(1 + 2 + 4)
  })
})
