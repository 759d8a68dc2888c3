#include "kernels/attention.h"
#include "kernels/avx_floats.h"
#include "kernels/cell_packing.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/**
 * Every desktop processor since 2013. `maddubs` would saturate at two large products, so bytes are widened, and a quad is
 * multiplied in two steps: its inputs 0 and 2, which are the even bytes of a line as 16-bit integers, then 1 and 3.
 */
struct Avx2 : AvxFloats {
  using AvxFloats::broadcast;
  static constexpr size_t lanes = 8;
  static constexpr size_t panels = 1;
  static constexpr size_t max_rows = 6;
  static constexpr size_t steps = 2;
  using Value = int16_t;
  using Integers = __m256i;
  using Weights = __m256i;
  using Activations = __m256i;

  /** Quads in the order 0, 2, 1, 3. */
  static void store_values(int16_t* values, const int32_t* rounded) {
    for (size_t i = 0; i < block_inputs; i += 2 * quad_inputs) {
      const __m256i two = _mm256_shuffle_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rounded + i)),
                                               _MM_SHUFFLE(3, 1, 2, 0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values + i),
                       _mm_packs_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1)));
    }
  }
  static Integers broadcast(int32_t value) { return _mm256_set1_epi32(value); }
  template <PackedType Type>
  static Weights load_weights(const uint8_t* line, size_t step) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    if constexpr (Type == PackedType::q8_0) {
      return step == 0 ? _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)) : _mm256_srli_epi16(bytes, 8);
    } else {
      // Lower halves of the even and of the odd bytes, then the upper ones.
      const __m256i half = _mm256_set1_epi16(0xf);
      switch (step) {
        case 0: return _mm256_and_si256(bytes, half);
        case 1: return _mm256_and_si256(_mm256_srli_epi16(bytes, 8), half);
        case 2: return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
        default: return _mm256_srli_epi16(bytes, 12);
      }
    }
  }
  /** Of the even or the odd bytes. */
  static Weights with_upper_bits(Weights lower, const uint8_t* line, size_t place, size_t step) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    const auto from = static_cast<int>(8 * step + 2 * place);  // the first of the two bits, which are to be bits 4 and 5
    const __m256i bits = from < 4 ? _mm256_slli_epi16(bytes, 4 - from) : _mm256_srli_epi16(bytes, from - 4);
    return _mm256_or_si256(lower, _mm256_and_si256(bits, _mm256_set1_epi16(0x30)));
  }
  static Activations load_activations(const int16_t* values, size_t step) {
    return _mm256_castps_si256(_mm256_broadcast_ss(reinterpret_cast<const float*>(values + 2 * step)));
  }
  static Integers dot(Integers sums, Weights weights, Activations activations) {
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(weights, activations));
    // Here and not later: gcc would put all additions of a block last and spill what they wait for.
    __asm__("" : "+x"(sums));
    return sums;
  }
  static Floats to_floats(Integers sums) { return _mm256_cvtepi32_ps(sums); }
};

}  // namespace

const KernelSet avx2 = kernel_set<Avx2>("avx2");

}  // namespace tandem::kernels
