#include <immintrin.h>

#include "kernels/attention.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/** Intel servers since Cascade Lake, laptops since Ice Lake, AMD since Zen 4: a whole line of weights is one vector. */
struct Avx512Vnni {
  static constexpr size_t lanes = 16;
  static constexpr size_t max_rows = 12;
  using Value = int8_t;
  using Integers = __m512i;
  using Floats = __m512;
  using Weights = __m512i;
  using Quad = __m512i;

  static constexpr size_t source_of(size_t place) { return place; }
  static Integers broadcast(int32_t value) { return _mm512_set1_epi32(value); }
  static Floats broadcast(float value) { return _mm512_set1_ps(value); }
  static Floats load(const float* source) { return _mm512_loadu_ps(source); }
  static float sum_of_lanes(Floats values) { return _mm512_reduce_add_ps(values); }
  static Weights load_weights(const uint8_t* line) { return _mm512_load_si512(line); }
  static Quad load_quad(const int8_t* values) {
    int32_t quad;
    std::memcpy(&quad, values, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }
  static Integers dot(Integers sums, Weights weights, Quad quad) { return _mm512_dpbusd_epi32(sums, weights, quad); }
  static Floats to_floats(Integers sums) { return _mm512_cvtepi32_ps(sums); }
  static Floats load_halves(const uint16_t* halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
  }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* target, Floats values) { _mm512_storeu_ps(target, values); }
};

}  // namespace

const KernelSet avx512vnni = kernel_set<Avx512Vnni>("avx512vnni");

}  // namespace tandem::kernels
