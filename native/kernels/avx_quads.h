#pragma once
#include <immintrin.h>

#include <cstring>

#include "kernels/packed_layout.h"

namespace tandem::kernels {

// Without a name, so that each file that includes this has its own copy, compiled for its own instructions.
namespace {

/** The inputs of instructions that multiply unsigned by signed bytes: a quad of 8 outputs, and of one row in every lane. */
struct AvxQuads {
  static constexpr size_t steps = 1;
  using Weights = __m256i;
  using Activations = __m256i;

  template <PackedType Type>
  static Weights load_weights(const uint8_t* line, size_t step) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    if constexpr (Type == PackedType::q8_0) return bytes;
    return _mm256_and_si256(step == 0 ? bytes : _mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0xf));
  }
  template <PackedType Type>
  static Weights with_upper_bits(Weights lower, const uint8_t* line, size_t place) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    const auto from = static_cast<int>(upper_bits_of(Type) * place);  // the first of the bits, which is to be bit 4
    const __m256i bits = from < 4 ? _mm256_slli_epi16(bytes, 4 - from) : _mm256_srli_epi16(bytes, from - 4);
    return _mm256_or_si256(lower, _mm256_and_si256(bits, _mm256_set1_epi8(upper_bits_of(Type) == 2 ? 0x30 : 0x10)));
  }
  static Activations load_activations(const int8_t* values, size_t) {
    int32_t quad;
    std::memcpy(&quad, values, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }
};

}  // namespace

}  // namespace tandem::kernels
