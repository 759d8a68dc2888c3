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

/** Intel since Alder Lake and AMD since Zen 5: the products of a quad in one instruction, 8 lanes. */
struct AvxVnni : AvxFloats, AvxQuads {
  static constexpr size_t lanes = 8;
  static constexpr size_t panels = 1;
  static constexpr size_t max_rows = 6;
  static constexpr size_t reach = 0;
  static constexpr bool is_anchored = true;
  using Block = QuantizedBlock<int8_t>;
  using Integers = __m256i;
  using ByteProducts = AvxVnni;
  using NarrowProducts = AvxVnni;

  static void store_values(Block& block, const int32_t* rounded) {
    for (size_t i = 0; i < block_inputs; ++i) block.values[i] = static_cast<int8_t>(rounded[i]);
  }
  static void round_values(const float* values, float inverse, Block& block) {
    round_and_store<AvxVnni>(values, inverse, block);
  }
  template <PackedType Type>
  static Integers start(const Block& block, size_t part) {
    return _mm256_set1_epi32(start_of_sums<AvxVnni, Type>(block, part));
  }
  static Integers dot(Integers sums, Weights weights, Activations activations) {
    return _mm256_dpbusd_avx_epi32(sums, weights, activations);
  }
  template <PackedType>
  static Floats to_floats(Integers sums, const Block&) {
    return _mm256_castsi256_ps(sums);
  }
};

}  // namespace

const KernelSet avxvnni = kernel_set<AvxVnni>("avxvnni");

}  // namespace tandem::kernels
