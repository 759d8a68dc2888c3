#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace tandem::kernels {

/** Inputs that share a scale, in the weights as in the activations. */
constexpr size_t block_inputs = 32;
/** Outputs that are computed side by side, one in each lane of the vectors. */
constexpr size_t panel_outputs = 16;
/** Neighbouring inputs that one instruction multiplies and sums. */
constexpr size_t quad_inputs = 4;
constexpr size_t block_quads = block_inputs / quad_inputs;

/**
 * The types of weights that can be packed, by ggml's names. q8_0, q4_0 and q5_0 have a scale in half precision for 32 inputs,
 * q4_1 and q5_1 a minimum as well. For as many q4_K and q5_K have a scale and a minimum of 6 bits, and q6_K two scales of
 * 8 bits for 16 each; all three have factors of them for 256 inputs, a super-block.
 */
enum class PackedType { q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k };
template <PackedType Type>
using TypeConstant = std::integral_constant<PackedType, Type>;
constexpr PackedType packed_types[] = {PackedType::q8_0, PackedType::q4_0, PackedType::q4_1, PackedType::q5_0,
                                       PackedType::q5_1, PackedType::q4_k, PackedType::q5_k, PackedType::q6_k};

/** Calls `use` with the type as a constant. */
template <typename Use>
void with_type(PackedType type, Use use) {
  switch (type) {
    case PackedType::q8_0: return use(TypeConstant<PackedType::q8_0>());
    case PackedType::q4_0: return use(TypeConstant<PackedType::q4_0>());
    case PackedType::q4_1: return use(TypeConstant<PackedType::q4_1>());
    case PackedType::q5_0: return use(TypeConstant<PackedType::q5_0>());
    case PackedType::q5_1: return use(TypeConstant<PackedType::q5_1>());
    case PackedType::q4_k: return use(TypeConstant<PackedType::q4_k>());
    case PackedType::q5_k: return use(TypeConstant<PackedType::q5_k>());
    case PackedType::q6_k: return use(TypeConstant<PackedType::q6_k>());
  }
}

/** Weights of 4 to 6 bits, for which some instruction sets quantise activations differently than for bytes. */
constexpr bool is_narrow(PackedType type) { return type != PackedType::q8_0; }

constexpr bool has_superblocks(PackedType type) {
  return type == PackedType::q4_k || type == PackedType::q5_k || type == PackedType::q6_k;
}
constexpr bool has_minimums(PackedType type) {
  return type == PackedType::q4_1 || type == PackedType::q5_1 || type == PackedType::q4_k || type == PackedType::q5_k;
}
constexpr size_t superblock_blocks = 8;

/** Lines of a block with whole bytes, or with the lower 4 bits of two inputs in each. */
constexpr size_t lower_lines_of(PackedType type) { return is_narrow(type) ? 4 : 8; }
/** Bits of each input that the lower lines have no room for. */
constexpr size_t upper_bits_of(PackedType type) {
  switch (type) {
    case PackedType::q5_0:
    case PackedType::q5_1:
    case PackedType::q5_k: return 1;
    case PackedType::q6_k: return 2;
    default: return 0;
  }
}
/** What packed weights have too much, for them to be unsigned; those of types with minimums are so in the file. */
constexpr int32_t surplus_of(PackedType type) {
  switch (type) {
    case PackedType::q8_0: return 128;
    case PackedType::q4_0: return 8;
    case PackedType::q5_0: return 16;
    case PackedType::q6_k: return 32;
    default: return 0;
  }
}
/** A line has them of 8 quads, or two of 4 each. */
constexpr size_t lines_of(PackedType type) { return lower_lines_of(type) + upper_bits_of(type); }

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
 * 16 to 19, and so on, as in the file. So do those of the other types with 4 bits, of types with 5 with the lower 4 (in q5_0 of
 * `weight + 16`), and of q6_K with those of its 6 of `weight + 32`. The upper bits of types with 5 are in line 4: the lowest of
 * a byte belongs to quad 0, the next to quad 1, and so on. Those of q6_K are in lines 4 and 5: the lowest two of line 4 belong
 * to quad 0, the next to quad 2, then 4 and 6; those of line 5 to the odd quads. What the surplus of the weights adds to a sum
 * of products is known for each block of activations and taken off where the sum starts (`QuantizedBlock`).
 */
template <PackedType Type>
struct PackedBlock {
  uint8_t lines[lines_of(Type)][panel_outputs][quad_inputs];
};

/** The scale of each of the 16 rows in one block, half precision. */
struct PackedHalfScales {
  uint16_t halves[panel_outputs];
};
/** With the minimums, of which the file has the opposite: weights are `scale * value - minimum`. */
struct PackedHalfMinimums : PackedHalfScales {
  uint16_t minimums[panel_outputs];
};
/** A scale and such a minimum, in q6_K signed scales of either half of the inputs; each times a factor. */
struct PackedSuperblockScales {
  uint8_t bytes[2][panel_outputs];
};
template <PackedType Type>
using PackedScales = std::conditional_t<has_superblocks(Type), PackedSuperblockScales,
                                        std::conditional_t<has_minimums(Type), PackedHalfMinimums, PackedHalfScales>>;
static_assert(sizeof(PackedSuperblockScales) == sizeof(PackedHalfScales), "both have 32 bytes");
constexpr size_t scale_bytes_of(PackedType type) {
  return has_minimums(type) && !has_superblocks(type) ? sizeof(PackedHalfMinimums) : sizeof(PackedHalfScales);
}

/** A factor of each of the 16 rows in 8 blocks, half precision. */
struct PackedFactors {
  uint16_t halves[panel_outputs];
};

/** Of the scales, and of the minimums. */
constexpr size_t factors_of(PackedType type) { return has_superblocks(type) ? 1 + has_minimums(type) : 0; }

/**
 * 16 rows of a matrix: first the blocks along the inputs, then their scales, then factors of these; as many bytes as in the
 * file, of q4_K a 36th more, of q5_K a 44th. Missing rows of a last panel have scales of 0.
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
  const size_t factors = blocks / superblock_blocks * factors_of(type) * sizeof(PackedFactors);
  const size_t bytes = blocks * (lines_of(type) * cache_line + scale_bytes_of(type)) + factors;
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

/** 32 activations `scale * values[i]`; the type and the order of `values` are those of the instruction set. */
template <typename Value>
struct QuantizedBlock {
  Value values[block_inputs];
  float scale;
  int32_t start;         // of a sum of products with weights of q8_0, what their surplus adds taken off
  float negated_sum;     // of the activations
  int16_t half_sums[2];  // of the values
};
/** At most, with whatever an instruction set adds. */
constexpr size_t most_quantized_block_bytes = sizeof(QuantizedBlock<int16_t>);

}  // namespace tandem::kernels
