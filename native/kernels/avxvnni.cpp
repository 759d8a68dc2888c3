#include "kernels/attention.h"
#include "kernels/avx_floats.h"
#include "kernels/cell_packing.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/** Intel since Alder Lake and AMD since Zen 5: the products of a quad in one instruction, 8 lanes. */
struct AvxVnni : AvxFloats {
  using AvxFloats::broadcast;
  static constexpr size_t lanes = 8;
  static constexpr size_t panels = 1;
  static constexpr size_t max_rows = 6;
  static constexpr size_t steps = 1;
  using Value = int8_t;
  using Integers = __m256i;
  using Weights = __m256i;
  using Activations = __m256i;

  static void store_values(int8_t* values, const int32_t* rounded) {
    for (size_t i = 0; i < block_inputs; ++i) values[i] = static_cast<int8_t>(rounded[i]);
  }
  static Integers broadcast(int32_t value) { return _mm256_set1_epi32(value); }
  template <PackedType Type>
  static Weights load_weights(const uint8_t* line, size_t step) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    if constexpr (Type == PackedType::q8_0) return bytes;
    return _mm256_and_si256(step == 0 ? bytes : _mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0xf));
  }
  static Weights with_upper_bits(Weights lower, const uint8_t* line, size_t place, size_t) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    const auto from = static_cast<int>(2 * place);  // the first of the two bits, which are to be bits 4 and 5
    const __m256i bits = from < 4 ? _mm256_slli_epi16(bytes, 4 - from) : _mm256_srli_epi16(bytes, from - 4);
    return _mm256_or_si256(lower, _mm256_and_si256(bits, _mm256_set1_epi8(0x30)));
  }
  static Activations load_activations(const int8_t* values, size_t) {
    int32_t quad;
    std::memcpy(&quad, values, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }
  static Integers dot(Integers sums, Weights weights, Activations activations) {
    return _mm256_dpbusd_avx_epi32(sums, weights, activations);
  }
  static Floats to_floats(Integers sums) { return _mm256_cvtepi32_ps(sums); }
};

}  // namespace

const KernelSet avxvnni = kernel_set<AvxVnni>("avxvnni");

}  // namespace tandem::kernels
