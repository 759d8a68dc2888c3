#include <immintrin.h>

#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/** Intel since Alder Lake and AMD since Zen 5: the products of a quad in one instruction, 8 lanes. */
struct AvxVnni {
  static constexpr size_t lanes = 8;
  static constexpr size_t max_rows = 6;
  using Value = int8_t;
  using Integers = __m256i;
  using Floats = __m256;
  using Weights = __m256i;
  using Quad = __m256i;

  static constexpr size_t source_of(size_t place) { return place; }
  static Integers broadcast(int32_t value) { return _mm256_set1_epi32(value); }
  static Floats broadcast(float value) { return _mm256_set1_ps(value); }
  static Weights load_weights(const uint8_t* line) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
  }
  static Quad load_quad(const int8_t* values) {
    int32_t quad;
    std::memcpy(&quad, values, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }
  static Integers dot(Integers sums, Weights weights, Quad quad) {
    return _mm256_dpbusd_avx_epi32(sums, weights, quad);
  }
  static Floats to_floats(Integers sums) { return _mm256_cvtepi32_ps(sums); }
  static Floats load_halves(const uint16_t* halves) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static void store(float* target, Floats values) { _mm256_storeu_ps(target, values); }
};

}  // namespace

const KernelSet avxvnni = Packed<AvxVnni>::kernel_set("avxvnni");

}  // namespace tandem::kernels
