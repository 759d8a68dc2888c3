#pragma once
#include "kernels/kernel_set.h"

namespace tandem::kernels {

// Each in the file of its name, which alone is compiled for its instructions.
extern const KernelSet avx2;
extern const KernelSet avxvnni;
extern const KernelSet avx512vnni;

template <typename InstructionSet>
struct Packed;
template <typename InstructionSet>
struct Attending;
template <typename InstructionSet>
struct CellPacking;

/** Everything that a set computes, for an instruction set as packed_product.h, attention.h and cell_packing.h describe it. */
template <typename InstructionSet>
constexpr KernelSet kernel_set(const char* name) {
  using Products = Packed<InstructionSet>;
  return {name, Products::template quantization<typename InstructionSet::Bytes>(),
          Products::template quantization<typename InstructionSet::Narrow>(), Products::multiply,
          Attending<InstructionSet>::to_halves, Attending<InstructionSet>::to_floats, CellPacking<InstructionSet>::pack_cells,
          Attending<InstructionSet>::attend, Attending<InstructionSet>::attend_cells};
}

}  // namespace tandem::kernels
