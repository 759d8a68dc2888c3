#include <immintrin.h>

#include "kernels/attention.h"
#include "kernels/cell_attention.h"
#include "kernels/cell_packing.h"
#include "kernels/half_rows.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/** Intel servers since Cascade Lake, laptops since Ice Lake, AMD since Zen 4: a whole line of weights is one vector. */
struct Avx512Vnni {
  static constexpr size_t lanes = 16;
  static constexpr size_t panels = 2;
  static constexpr size_t max_rows = 7;
  static constexpr size_t reach = 6;
  static constexpr size_t steps = 1;
  static constexpr bool is_anchored = true;
  using Block = QuantizedBlock<int8_t>;
  using Integers = __m512i;
  using Floats = __m512;
  using Weights = __m512i;
  using Activations = __m512i;
  using ByteProducts = Avx512Vnni;
  using NarrowProducts = Avx512Vnni;

  static void round_values(const float* values, float inverse, Block& block) {
    const auto sixteen = [&](size_t i) {
      // What is no number, as infinity times 0, becomes the least integer, whose lowest byte is 0.
      return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(inverse))));
    };
    const __m256i bytes = _mm256_set_m128i(sixteen(16), sixteen(0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(block.values), bytes);
    // Four sums of eight bytes each, 128 too much for each of them to be unsigned.
    const __m256i eights = _mm256_sad_epu8(_mm256_xor_si256(bytes, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    const __m256i halves = _mm256_add_epi64(eights, _mm256_unpackhi_epi64(eights, eights));
    constexpr int32_t surplus = 128 * block_inputs / 2;
    block.half_sums[0] = static_cast<int16_t>(_mm256_extract_epi16(halves, 0) - surplus);
    block.half_sums[1] = static_cast<int16_t>(_mm256_extract_epi16(halves, 8) - surplus);
  }
  template <PackedType Type>
  static Integers start(const Block& block, size_t part) {
    return _mm512_set1_epi32(start_of_sums<Avx512Vnni, Type>(block, part));
  }
  static Floats broadcast(float value) { return _mm512_set1_ps(value); }
  static Floats load(const float* source) { return _mm512_loadu_ps(source); }
  static Floats maximum(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static float largest_of_lanes(Floats values) { return _mm512_reduce_max_ps(values); }
  static float sum_of_lanes(Floats values) { return _mm512_reduce_add_ps(values); }
  template <PackedType Type>
  static Weights load_weights(const uint8_t* line, size_t step) {
    const __m512i bytes = _mm512_load_si512(line);
    if constexpr (Type == PackedType::q8_0) return bytes;
    return _mm512_and_si512(step == 0 ? bytes : _mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(0xf));
  }
  template <PackedType Type>
  static Weights with_upper_bits(Weights lower, const uint8_t* line, size_t place) {
    const __m512i bytes = _mm512_load_si512(line);
    const auto from = static_cast<int>(upper_bits_of(Type) * place);  // the first of the bits, which is to be bit 4
    const __m512i bits = from < 4 ? _mm512_slli_epi16(bytes, 4 - from) : _mm512_srli_epi16(bytes, from - 4);
    return _mm512_or_si512(lower, _mm512_and_si512(bits, _mm512_set1_epi8(upper_bits_of(Type) == 2 ? 0x30 : 0x10)));
  }
  static Activations load_activations(const int8_t* values, size_t) {
    int32_t quad;
    std::memcpy(&quad, values, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }
  static Integers dot(Integers sums, Weights weights, Activations activations) {
    return _mm512_dpbusd_epi32(sums, weights, activations);
  }
  template <PackedType>
  static Floats to_floats(Integers sums, const Block&) {
    return _mm512_castsi512_ps(sums);
  }
  static Floats load_halves(const uint16_t* halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
  }
  static Floats load_bytes(const uint8_t* bytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
  }
  static Floats load_signed_bytes(const uint8_t* bytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
  }
  static void store_halves(uint16_t* target, Floats values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* target, Floats values) { _mm512_storeu_ps(target, values); }
};

}  // namespace

const KernelSet avx512vnni = kernel_set<Avx512Vnni>("avx512vnni");

}  // namespace tandem::kernels
