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
struct AttentionKernel;
template <typename InstructionSet>
struct CellAttentionKernel;
template <typename InstructionSet>
struct CellPacking;
template <typename InstructionSet>
struct HalfRows;

/** All that a set computes, for an instruction set as packed_product.h, online_softmax.h and half_rows.h describe it. */
template <typename InstructionSet>
constexpr KernelSet kernel_set(const char* name) {
  return {name,
          quantization<typename InstructionSet::ByteProducts>(),
          quantization<typename InstructionSet::NarrowProducts>(),
          PackedProducts<InstructionSet>::multiply,
          HalfRows<InstructionSet>::to_halves,
          HalfRows<InstructionSet>::to_floats,
          CellPacking<InstructionSet>::pack_cells,
          AttentionKernel<InstructionSet>::attend,
          CellAttentionKernel<InstructionSet>::attend_cells};
}

}  // namespace tandem::kernels
