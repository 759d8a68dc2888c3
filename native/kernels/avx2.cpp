#include "kernels/attention.h"
#include "kernels/avx_floats.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/**
 * Every desktop processor since 2013. `maddubs` would saturate at two large products, so bytes are widened: a lane of a
 * quad holds its inputs 0 and 2 in one vector of 16-bit integers and 1 and 3 in another.
 */
struct Avx2 : AvxFloats {
  using AvxFloats::broadcast;
  static constexpr size_t lanes = 8;
  static constexpr size_t max_rows = 3;
  using Value = int16_t;
  using Integers = __m256i;
  struct Pairs {
    __m256i even;
    __m256i odd;
  };
  using Weights = Pairs;
  using Quad = Pairs;

  /** Quads in the order 0, 2, 1, 3. */
  static constexpr size_t source_of(size_t place) {
    return place % quad_inputs == 1 ? place + 1 : place % quad_inputs == 2 ? place - 1 : place;
  }
  static Integers broadcast(int32_t value) { return _mm256_set1_epi32(value); }
  static Weights load_weights(const uint8_t* line) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    return {_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8)};
  }
  static Quad load_quad(const int16_t* values) { return {load_pair(values), load_pair(values + 2)}; }
  static __m256i load_pair(const int16_t* values) {
    return _mm256_castps_si256(_mm256_broadcast_ss(reinterpret_cast<const float*>(values)));
  }
  static Integers dot(Integers sums, const Weights& weights, const Quad& quad) {
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(weights.even, quad.even));
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(weights.odd, quad.odd));
    // Here and not later: gcc would put all additions of a block last and spill what they wait for.
    __asm__("" : "+x"(sums));
    return sums;
  }
  static Floats to_floats(Integers sums) { return _mm256_cvtepi32_ps(sums); }
};

}  // namespace

const KernelSet avx2 = kernel_set<Avx2>("avx2");

}  // namespace tandem::kernels
