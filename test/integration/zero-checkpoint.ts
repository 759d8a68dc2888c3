import { open } from 'node:fs/promises'

export interface Qwen2Sizes {
  vocabulary: number
  hidden: number
  feedForward: number
  /** Rows of the keys and of the values. */
  keyValue: number
  layers: number
}

/** Writes a checkpoint of Qwen2, tied, in bf16, all zeros: it takes no room on the disk. */
export async function writeZeroCheckpoint(path: string, sizes: Qwen2Sizes): Promise<void> {
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [name, shape] of shapesOf(sizes)) {
    const begin = end
    end += 2 * shape.reduce((product, n) => product * n, 1)
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] }
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const handle = await open(path, 'w')
  await handle.write(Buffer.concat([length, text]))
  await handle.truncate(8 + text.length + end)
  await handle.close()
}

function shapesOf({ vocabulary, hidden, feedForward, keyValue, layers }: Qwen2Sizes): [string, number[]][] {
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ['model.norm.weight', [hidden]],
  ]
  for (let layer = 0; layer < layers; layer++) {
    const name = (rest: string) => `model.layers.${layer}.${rest}`
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes.push([name(`${norm}.weight`), [hidden]])
    for (const [part, rows] of Object.entries({ q: hidden, k: keyValue, v: keyValue })) {
      shapes.push(
        [name(`self_attn.${part}_proj.weight`), [rows, hidden]],
        [name(`self_attn.${part}_proj.bias`), [rows]],
      )
    }
    shapes.push([name('self_attn.o_proj.weight'), [hidden, hidden]])
    for (const part of ['gate', 'up']) shapes.push([name(`mlp.${part}_proj.weight`), [feedForward, hidden]])
    shapes.push([name('mlp.down_proj.weight'), [hidden, feedForward]])
  }
  return shapes
}
