#pragma once
#include <cstring>

#include "kernels/kernel_set.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/** Rows of floats to half precision and back, for an instruction set with `load_halves` and `store_halves`. */
template <typename InstructionSet>
struct HalfRows {
  using Set = InstructionSet;

  static void to_halves(const float* values, size_t count, uint16_t* halves) {
    for (size_t i = 0; i < count; i += Set::lanes) Set::store_halves(halves + i, Set::load(values + i));
  }

  static void to_floats(const uint16_t* halves, size_t count, float* values) {
    size_t i = 0;
    for (; i + Set::lanes <= count; i += Set::lanes) Set::store(values + i, Set::load_halves(halves + i));
    if (i == count) return;
    uint16_t last[Set::lanes] = {};
    float numbers[Set::lanes];
    std::memcpy(last, halves + i, (count - i) * sizeof(uint16_t));
    Set::store(numbers, Set::load_halves(last));
    std::memcpy(values + i, numbers, (count - i) * sizeof(float));
  }
};

}  // namespace tandem::kernels
