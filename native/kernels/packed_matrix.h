#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** A q8_0 matrix in panels, in memory that others own; see packed_layout.h. */
class PackedMatrix {
 public:
  /** `inputs` is a multiple of 32, `memory` has `bytes(inputs, outputs)` and begins with a cache line. */
  PackedMatrix(size_t inputs, size_t outputs, std::byte* memory)
      : blocks_(inputs / block_inputs), outputs_(outputs), memory_(memory) {}

  static size_t bytes(size_t inputs, size_t outputs) {
    return (outputs + panel_outputs - 1) / panel_outputs * panel_bytes(inputs / block_inputs);
  }

  size_t inputs() const { return blocks_ * block_inputs; }
  size_t blocks() const { return blocks_; }
  size_t outputs() const { return outputs_; }
  size_t panel_count() const { return (outputs_ + panel_outputs - 1) / panel_outputs; }
  /** The panels from the one that holds `output` on. */
  const std::byte* panels(size_t output = 0) const {
    return memory_ + output / panel_outputs * panel_bytes(blocks_);
  }

  /** Packs `count` whole rows of q8_0 from row `first` on, whole panels but at the end. Panels may be packed at once. */
  void pack(size_t first, size_t count, const std::byte* rows);
  /** Reads or replaces any part of the matrix as q8_0 has it, from byte `offset` on. Packing whole rows is faster. */
  void read(size_t offset, size_t size, std::byte* rows) const;
  void write(size_t offset, size_t size, const std::byte* rows);
  /** Row `output` in f32, the very values that q8_0 stands for. */
  void unpack_row(size_t output, float* values) const;

 private:
  size_t blocks_;
  size_t outputs_;
  std::byte* memory_;
};

}  // namespace tandem::kernels
