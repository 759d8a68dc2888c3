#pragma once
#include "kernels/kernel_set.h"

namespace tandem::kernels {

// Each in the file of its name, which alone is compiled for its instructions.
extern const KernelSet avx2;
extern const KernelSet avxvnni;
extern const KernelSet avx512vnni;

template <typename Arithmetic>
constexpr Quantization quantization();
template <typename InstructionSet>
struct PackedProducts;
template <typename InstructionSet>
struct AttentionKernels;
template <typename InstructionSet>
struct CellPacking;

/** All that a set computes, for an instruction set as packed_product.h, attention.h and cell_packing.h describe it. */
template <typename InstructionSet>
constexpr KernelSet kernel_set(const char* name) {
  using Attentions = AttentionKernels<InstructionSet>;
  return {name, quantization<typename InstructionSet::ByteProducts>(),
          quantization<typename InstructionSet::NarrowProducts>(), PackedProducts<InstructionSet>::multiply,
          Attentions::to_halves, Attentions::to_floats, CellPacking<InstructionSet>::pack_cells, Attentions::attend,
          Attentions::attend_cells};
}

}  // namespace tandem::kernels
