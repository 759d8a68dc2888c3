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

/** 32 values -> a block, as ggml's q8_0 rounds. */
template <typename Arithmetic>
void quantize_block(const float* values, typename Arithmetic::Block& block) {
  // The largest size as an integer: floats order like their bits, and so NaN and infinity are the largest of all.
  int32_t largest_bits = 0;
  for (size_t i = 0; i < block_inputs; ++i) {
    int32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    bits &= 0x7fffffff;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  float largest;
  std::memcpy(&largest, &largest_bits, sizeof(largest));
  // Below this scales are subnormal, and soon 127 / largest overflows; such a block counts as zero.
  constexpr float smallest = 127 * 1.17549435e-38F;
  const float inverse = largest < smallest ? 0.0F : 127.0F / largest;
  block.scale = largest / 127.0F;
  constexpr size_t half_inputs = block_inputs / 2;
  int32_t rounded[block_inputs];
  int32_t sums[2] = {};
  for (size_t half = 0; half < 2; ++half) {
    for (size_t i = half * half_inputs; i < (half + 1) * half_inputs; ++i) {
      // A block with NaN or infinity has a scale that makes every product NaN, whatever its values.
      const float value = largest_bits < 0x7f800000 ? values[i] * inverse : 0.0F;
      rounded[i] = static_cast<int32_t>(std::nearbyintf(value));
      sums[half] += rounded[i];
    }
    block.half_sums[half] = static_cast<int16_t>(sums[half]);
  }
  const int32_t sum = sums[0] + sums[1];
  constexpr int32_t surplus = surplus_of(PackedType::q8_0);
  block.start = zero_of_sums<Arithmetic> - surplus * sum;
  block.negated_sum = block.scale * static_cast<float>(-sum);
  Arithmetic::store_values(block, rounded);
}

template <typename Arithmetic>
void quantize(const float* values, size_t blocks, std::byte* quantized) {
  auto* target = reinterpret_cast<typename Arithmetic::Block*>(quantized);
  for (size_t i = 0; i < blocks; ++i) quantize_block<Arithmetic>(values + i * block_inputs, target[i]);
}

template <typename Arithmetic>
constexpr Quantization quantization() {
  static_assert(sizeof(typename Arithmetic::Block) <= most_quantized_block_bytes,
                "who quantises for himself would have too little room");
  return {sizeof(typename Arithmetic::Block), quantize<Arithmetic>};
}

}  // namespace tandem::kernels
