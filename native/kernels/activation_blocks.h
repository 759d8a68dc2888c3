#pragma once
#include <cmath>
#include <cstring>

#include "kernels/kernel_set.h"

// What becomes of 32 activations, and where sums of their products start; `Arithmetic` and what may stand in this file as in
// packed_product.h.
namespace tandem::kernels {

/**
 * Sums of integers may start from the bits of this float, 1.5 * 2^23. They then come to the bits of the float plus the sum, if
 * that is below 2^22 in size (in q8_0 it is an eighth of it), and nothing is left to convert.
 */
constexpr float anchor = 12582912.0F;
constexpr int32_t anchor_bits = 0x4b400000;

/** Where a sum starts that comes to 0. */
template <typename Arithmetic>
constexpr int32_t zero_of_sums = Arithmetic::is_anchored ? anchor_bits : 0;

/**
 * Where the sums of a part of a block start, for what the surplus of the weights adds to be taken off. A template over the
 * arithmetic, as for all that files of several instruction sets include.
 */
template <typename Arithmetic, PackedType Type>
int32_t start_of_sums(const typename Arithmetic::Block& block, size_t part) {
  // Ready in the block, for the most common type alone.
  if constexpr (Type == PackedType::q8_0) return block.start;
  constexpr int32_t surplus = surplus_of(Type);
  const int32_t values = Type == PackedType::q6_k ? block.half_sums[part] : block.half_sums[0] + block.half_sums[1];
  return zero_of_sums<Arithmetic> - surplus * values;
}

/** The largest size of 32 values as the bits of a float: floats order like their bits, so NaN and infinity are the largest. */
template <typename Arithmetic>
int32_t largest_bits(const float* values) {
  int32_t largest = 0;
  for (size_t i = 0; i < block_inputs; ++i) {
    int32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/** `round_values` of a set that has `store_values`, which puts whole numbers into a block. */
template <typename Arithmetic>
void round_and_store(const float* values, float inverse, typename Arithmetic::Block& block) {
  constexpr size_t half_inputs = block_inputs / 2;
  int32_t rounded[block_inputs];
  for (size_t half = 0; half < 2; ++half) {
    int32_t sum = 0;
    for (size_t i = half * half_inputs; i < (half + 1) * half_inputs; ++i) {
      // Infinity and NaN count as nothing where all do.
      const float value = inverse == 0 ? 0.0F : values[i] * inverse;
      rounded[i] = static_cast<int32_t>(std::nearbyintf(value));
      sum += rounded[i];
    }
    block.half_sums[half] = static_cast<int16_t>(sum);
  }
  Arithmetic::store_values(block, rounded);
}

/** Blocks whose scales are computed side by side: to divide takes a processor as long for one as for a vector of them. */
constexpr size_t blocks_together = 16;

/** At most `blocks_together` blocks of 32 values, as ggml's q8_0 rounds. */
template <typename Arithmetic>
void quantize_blocks(const float* values, size_t count, typename Arithmetic::Block* blocks) {
  int32_t bits[blocks_together] = {};
  for (size_t i = 0; i < count; ++i) bits[i] = largest_bits<Arithmetic>(values + i * block_inputs);
  float scales[blocks_together];
  float inverses[blocks_together];
  for (size_t i = 0; i < blocks_together; ++i) {
    float largest;
    std::memcpy(&largest, bits + i, sizeof(largest));
    // Below this scales are subnormal, and soon 127 / largest overflows; such a block counts as zero. So do the values of one
    // with NaN or infinity, whose scale makes every product NaN whatever they are.
    constexpr float smallest = 127 * 1.17549435e-38F;
    scales[i] = largest / 127.0F;
    inverses[i] = largest < smallest || bits[i] >= 0x7f800000 ? 0.0F : 127.0F / largest;
  }
  for (size_t i = 0; i < count; ++i) {
    auto& block = blocks[i];
    Arithmetic::round_values(values + i * block_inputs, inverses[i], block);
    const int32_t sum = block.half_sums[0] + block.half_sums[1];
    constexpr int32_t surplus = surplus_of(PackedType::q8_0);
    block.scale = scales[i];
    block.start = zero_of_sums<Arithmetic> - surplus * sum;
    block.negated_sum = block.scale * static_cast<float>(-sum);
  }
}

template <typename Arithmetic>
void quantize(const float* values, size_t blocks, std::byte* quantized) {
  auto* target = reinterpret_cast<typename Arithmetic::Block*>(quantized);
  for (size_t i = 0; i < blocks; i += blocks_together) {
    const size_t count = blocks - i < blocks_together ? blocks - i : blocks_together;
    quantize_blocks<Arithmetic>(values + i * block_inputs, count, target + i);
  }
}

template <typename Arithmetic>
constexpr Quantization quantization() {
  static_assert(sizeof(typename Arithmetic::Block) <= most_quantized_block_bytes,
                "who quantises for himself would have too little room");
  return {sizeof(typename Arithmetic::Block), quantize<Arithmetic>};
}

}  // namespace tandem::kernels
