#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** What a matrix to pack is: `inputs` is a multiple of 32, of types with super-blocks of 256. */
struct PackedShape {
  PackedType type;
  size_t inputs;
  size_t outputs;

  size_t blocks() const { return inputs / block_inputs; }
  size_t panel_count() const { return (outputs + panel_outputs - 1) / panel_outputs; }
  size_t bytes() const { return panel_count() * panel_bytes(type, blocks()); }
};

/** A matrix in panels, in memory that others own; see packed_layout.h. "Rows" below are rows as the file has them. */
class PackedMatrix {
 public:
  /** `memory` has `shape.bytes()` and begins with a cache line. */
  PackedMatrix(const PackedShape& shape, std::byte* memory) : shape_(shape), memory_(memory) {}

  PackedType type() const { return shape_.type; }
  size_t inputs() const { return shape_.inputs; }
  size_t blocks() const { return shape_.blocks(); }
  size_t outputs() const { return shape_.outputs; }
  size_t panel_count() const { return shape_.panel_count(); }
  /** The panels from the one that holds `output` on. */
  const std::byte* panels(size_t output = 0) const { return panel_of(output); }

  /** Packs `count` whole rows from row `first` on, whole panels but at the end. Panels may be packed at once. */
  void pack(size_t first, size_t count, const std::byte* rows);
  /** Reads or replaces any part of the matrix as the file has it, from byte `offset` on. Packing whole rows is faster. */
  void read(size_t offset, size_t size, std::byte* rows) const;
  void write(size_t offset, size_t size, const std::byte* rows);
  /** Row `output` in f32, the very values that its bytes stand for. */
  void unpack_row(size_t output, float* values) const;

 private:
  std::byte* panel_of(size_t output) const {
    return memory_ + output / panel_outputs * panel_bytes(shape_.type, shape_.blocks());
  }

  PackedShape shape_;
  std::byte* memory_;
};

}  // namespace tandem::kernels
