#include "kernels/attention.h"
#include "kernels/avx_floats.h"
#include "kernels/avx_quads.h"
#include "kernels/cell_attention.h"
#include "kernels/cell_packing.h"
#include "kernels/half_rows.h"
#include "kernels/instruction_sets.h"
#include "kernels/packed_product.h"

namespace tandem::kernels {

namespace {

/**
 * `maddubs` adds two products of bytes in 16 bits, where two of q8_0 may not fit. So its bytes are widened, and a quad is
 * multiplied in two steps: its inputs 0 and 2, which are the even bytes of a line as 16-bit integers, then 1 and 3.
 */
struct WideProducts {
  static constexpr size_t steps = 2;
  static constexpr bool is_anchored = true;
  using Block = QuantizedBlock<int16_t>;
  using Integers = __m256i;
  using Weights = __m256i;
  using Activations = __m256i;

  /** Quads in the order 0, 2, 1, 3. */
  static void store_values(Block& block, const int32_t* rounded) {
    for (size_t i = 0; i < block_inputs; i += 2 * quad_inputs) {
      const __m256i two = _mm256_shuffle_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rounded + i)),
                                               _MM_SHUFFLE(3, 1, 2, 0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(block.values + i),
                       _mm_packs_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1)));
    }
  }
  static void round_values(const float* values, float inverse, Block& block) {
    round_and_store<WideProducts>(values, inverse, block);
  }
  template <PackedType Type>
  static Integers start(const Block& block, size_t part) {
    return _mm256_set1_epi32(start_of_sums<WideProducts, Type>(block, part));
  }
  template <PackedType>
  static Weights load_weights(const uint8_t* line, size_t step) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(line));
    return step == 0 ? _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)) : _mm256_srli_epi16(bytes, 8);
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
  template <PackedType>
  static __m256 to_floats(Integers sums, const Block&) {
    return _mm256_castsi256_ps(sums);
  }
};

/**
 * Weights of 4 to 6 bits. Each lane of 16 bits sums the products of two inputs of every quad, from the negated surplus of the
 * weights on. So no sum on the way is larger than 8 products of 32 * 127 in q6_K, 16 of 16 * 127 in types with 5 bits and of
 * less in those with 4, and all fit. Weights of q5_1 and q5_K, which have no surplus, are multiplied as if they had.
 */
struct PairProducts : AvxQuads {
  /** With one, 320 rows of q4_0 took 1.06 times as long on Zen 3 and of q4_K 1.13 times: here a conversion costs nothing. */
  static constexpr bool is_anchored = false;
  using Integers = __m256i;
  struct Block : QuantizedBlock<int8_t> {
    /** Of each half: the sum of inputs 0 and 1 of all its quads, and that of inputs 2 and 3, with their signs turned. */
    int16_t negated_pairs[2][2];
  };

  static void store_values(Block& block, const int32_t* rounded) {
    for (size_t half = 0; half < 2; ++half) {
      const size_t first = half * block_inputs / 2;
      const auto eight = [&](size_t i) {
        const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rounded + first + i));
        return _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
      };
      const __m128i bytes = _mm_packs_epi16(eight(0), eight(8));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(block.values + first), bytes);
      // Two sums of each of four quads, then of two, then of all.
      const __m128i four = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
      const __m128i two = _mm_add_epi16(four, _mm_unpackhi_epi64(four, four));
      const __m128i all = _mm_add_epi16(two, _mm_srli_si128(two, 4));
      const int32_t negated = _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), all));
      std::memcpy(block.negated_pairs[half], &negated, sizeof(negated));
    }
  }
  static void round_values(const float* values, float inverse, Block& block) {
    round_and_store<PairProducts>(values, inverse, block);
  }
  template <PackedType Type>
  static Integers start(const Block& block, size_t part) {
    switch (Type) {
      case PackedType::q4_0:
        return _mm256_slli_epi16(_mm256_add_epi16(negated_pairs(block, 0), negated_pairs(block, 1)), 3);
      case PackedType::q5_0:
      case PackedType::q5_1:
      case PackedType::q5_k:
        return _mm256_slli_epi16(_mm256_add_epi16(negated_pairs(block, 0), negated_pairs(block, 1)), 4);
      case PackedType::q6_k: return _mm256_slli_epi16(negated_pairs(block, part), 5);
      default: return _mm256_setzero_si256();
    }
  }
  static Integers dot(Integers sums, Weights weights, Activations activations) {
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, activations));
    // As above.
    __asm__("" : "+x"(sums));
    return sums;
  }
  template <PackedType Type>
  static __m256 to_floats(Integers sums, const Block& block) {
    const __m256i pairs = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    if constexpr (!(has_minimums(Type) && upper_bits_of(Type) == 1)) return _mm256_cvtepi32_ps(pairs);
    const int32_t surplus = 16 * (block.half_sums[0] + block.half_sums[1]);
    return _mm256_cvtepi32_ps(_mm256_add_epi32(pairs, _mm256_set1_epi32(surplus)));
  }

 private:
  static __m256i negated_pairs(const Block& block, size_t half) {
    int32_t pairs;
    std::memcpy(&pairs, block.negated_pairs[half], sizeof(pairs));
    return _mm256_set1_epi32(pairs);
  }
};

/** Every desktop processor since 2013. */
struct Avx2 : AvxFloats {
  static constexpr size_t lanes = 8;
  static constexpr size_t panels = 1;
  static constexpr size_t max_rows = 6;
  static constexpr size_t reach = 0;
  using ByteProducts = WideProducts;
  using NarrowProducts = PairProducts;
};

}  // namespace

const KernelSet avx2 = kernel_set<Avx2>("avx2");

}  // namespace tandem::kernels
