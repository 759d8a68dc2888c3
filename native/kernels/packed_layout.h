#pragma once
#include <cstddef>
#include <cstdint>

namespace tandem::kernels {

/** Inputs that share a scale, in the weights (ggml's q8_0, q4_0 and q4_K) as in the activations. */
constexpr size_t block_inputs = 32;
/** Outputs that are computed side by side, one in each lane of the vectors. */
constexpr size_t panel_outputs = 16;
/** Neighbouring inputs that one instruction multiplies and sums. */
constexpr size_t quad_inputs = 4;
constexpr size_t block_quads = block_inputs / quad_inputs;

/**
 * The types of weights that can be packed, by ggml's names. q8_0 and q4_0 have a scale in half precision for 32 inputs; q4_K
 * has a scale and a minimum of 6 bits for them, and for 256 inputs a factor of all scales and one of all minimums.
 */
enum class PackedType { q8_0, q4_0, q4_k };

/** Blocks that q4_K has factors for, which ggml calls a super-block. */
constexpr size_t superblock_blocks = 8;

/** Lines of a block. */
constexpr size_t lines_of(PackedType type) { return type == PackedType::q8_0 ? 8 : 4; }

/**
 * 32 inputs of 16 rows of a matrix, in the order in which a product reads them. Every line is one vector of 64 bytes. In q8_0
 * a line holds a quad of inputs of all rows:
 *
 *                output 0       output 1             output 15
 *     line 0   | 0  1  2  3   | 0  1  2  3   | ... | 0  1  2  3   |   numbers: inputs of the block
 *     line 1   | 4  5  6  7   | 4  5  6  7   | ... | 4  5  6  7   |
 *       ...
 *     line 7   | 28 29 30 31  | 28 29 30 31  | ... | 28 29 30 31  |
 *
 * Weights are stored as `weight + 128`: the instructions multiply unsigned by signed bytes, and -128 has no absolute
 * value in a signed byte. In q4_0, which has 4 bits of `weight + 8`, the upper halves of the bytes of line 0 hold the inputs
 * 16 to 19, and so on; these are the bytes of the file. In q4_K, too, where they are not. The surplus, 128 or 8 times the sum of the activations, is known per
 * block of activations and is where a sum of products starts (`QuantizedBlock::correction`).
 */
template <PackedType Type>
struct PackedBlock {
  uint8_t lines[lines_of(Type)][panel_outputs][quad_inputs];
};

/** The scale of each of the 16 rows in one block, half precision. */
template <PackedType Type>
struct PackedScales {
  uint16_t halves[panel_outputs];
};
/** A weight is `scale * value - minimum`, each times its factor. */
template <>
struct PackedScales<PackedType::q4_k> {
  uint8_t scales[panel_outputs];
  uint8_t minimums[panel_outputs];
};
constexpr size_t scale_bytes = sizeof(PackedScales<PackedType::q8_0>);
static_assert(scale_bytes == sizeof(PackedScales<PackedType::q4_k>), "blocks of all types have as many bytes of scales");

/** The factors of each of the 16 rows in 8 blocks, half precision. */
struct PackedFactors {
  uint16_t scales[panel_outputs];
  uint16_t minimums[panel_outputs];
};

/**
 * 16 rows of a matrix: first the blocks along the inputs, then their scales, then factors of these; as many bytes as in the
 * file, of q4_K a 36th more. Missing rows of a last panel have scales of 0.
 */
template <PackedType Type>
struct Panel {
  const PackedBlock<Type>* blocks;
  const PackedScales<Type>* scales;
  const PackedFactors* factors;
};

constexpr size_t cache_line = 64;

/** A multiple of a cache line, so that no vector of weights lies across two. */
constexpr size_t panel_bytes(PackedType type, size_t blocks) {
  const size_t factors = type == PackedType::q4_k ? blocks / superblock_blocks * sizeof(PackedFactors) : 0;
  const size_t bytes = blocks * (lines_of(type) * cache_line + scale_bytes) + factors;
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

/** 32 activations `scale * values[i]`; the type and the order of `values` are those of the instruction set. */
template <typename Value>
struct QuantizedBlock {
  Value values[block_inputs];
  float scale;
  int32_t correction;  // -128 times the sum of the values
  float negated_sum;   // of the activations
};
/** Of any instruction set. */
constexpr size_t most_quantized_block_bytes = sizeof(QuantizedBlock<int16_t>);

}  // namespace tandem::kernels
