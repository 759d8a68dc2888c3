#pragma once
#include <memory>

#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** A q8_0 matrix in panels; see packed_layout.h. */
class PackedMatrix {
 public:
  /** Takes the memory, unset. Throws std::bad_alloc. `inputs` is a multiple of 32. */
  PackedMatrix(size_t inputs, size_t outputs);

  size_t inputs() const { return blocks_ * block_inputs; }
  size_t blocks() const { return blocks_; }
  size_t outputs() const { return outputs_; }
  size_t bytes() const { return (outputs_ + panel_outputs - 1) / panel_outputs * panel_bytes(blocks_); }
  /** The panels from the one that holds `output` on. */
  const std::byte* panels(size_t output = 0) const {
    return memory_.get() + output / panel_outputs * panel_bytes(blocks_);
  }

  /** Packs `count` whole rows of q8_0 from row `first` on, whole panels but at the end. Panels may be packed at once. */
  void pack(size_t first, size_t count, const std::byte* rows);
  /** Row `output` in f32, the very values that q8_0 stands for. */
  void unpack_row(size_t output, float* values) const;

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  size_t blocks_;
  size_t outputs_;
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace tandem::kernels
