#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tandem::kernels {

namespace {

/** ggml's q8_0: 32 values `scale * weights[i]`. */
struct Q8Block {
  uint16_t scale;  // half precision
  int8_t weights[block_inputs];
};
static_assert(sizeof(Q8Block) == 34);

float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float size = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

/** Where one block of one row is packed. */
struct PackedPlace {
  PackedPlace(std::byte* panels, size_t blocks, size_t output, size_t at)
      : block(reinterpret_cast<PackedBlock*>(panels)[at]),
        scale(reinterpret_cast<PackedScales*>(panels + blocks * sizeof(PackedBlock))[at].halves[output % panel_outputs]),
        lane(output % panel_outputs) {}

  Q8Block get() const {
    Q8Block found{scale, {}};
    for (size_t i = 0; i < block_inputs; ++i) {
      found.weights[i] = static_cast<int8_t>(block.weights[i / quad_inputs][lane][i % quad_inputs] - 128);
    }
    return found;
  }
  void set(const Q8Block& values) {
    scale = values.scale;
    for (size_t i = 0; i < block_inputs; ++i) {
      block.weights[i / quad_inputs][lane][i % quad_inputs] = static_cast<uint8_t>(values.weights[i] + 128);
    }
  }

  PackedBlock& block;
  uint16_t& scale;
  size_t lane;
};

/** Calls `visit(block, first byte within it, bytes)` for every block that has a part of the bytes from `offset` on. */
template <typename Visit>
void for_each_block(size_t offset, size_t size, Visit visit) {
  for (const size_t end = offset + size; offset < end;) {
    const size_t first = offset % sizeof(Q8Block);
    const size_t count = std::min(sizeof(Q8Block) - first, end - offset);
    visit(offset / sizeof(Q8Block), first, count);
    offset += count;
  }
}

}  // namespace

void PackedMatrix::read(size_t offset, size_t size, std::byte* rows) const {
  for_each_block(offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / blocks_;
    auto* panel = memory_ + output / panel_outputs * panel_bytes(blocks_);
    const Q8Block block = PackedPlace(panel, blocks_, output, index % blocks_).get();
    std::memcpy(rows, reinterpret_cast<const std::byte*>(&block) + first, count);
    rows += count;
  });
}

void PackedMatrix::write(size_t offset, size_t size, const std::byte* rows) {
  for_each_block(offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / blocks_;
    auto* panel = memory_ + output / panel_outputs * panel_bytes(blocks_);
    PackedPlace place(panel, blocks_, output, index % blocks_);
    Q8Block block = place.get();
    std::memcpy(reinterpret_cast<std::byte*>(&block) + first, rows, count);
    place.set(block);
    rows += count;
  });
}

void PackedMatrix::pack(size_t first, size_t count, const std::byte* rows) {
  const auto* source = reinterpret_cast<const Q8Block*>(rows);
  for (size_t row = 0; row < count; row += panel_outputs) {
    auto* memory = memory_ + (first + row) / panel_outputs * panel_bytes(blocks_);
    auto* blocks = reinterpret_cast<PackedBlock*>(memory);
    auto* scales = reinterpret_cast<PackedScales*>(blocks + blocks_);
    const size_t present = std::min(panel_outputs, count - row);
    for (size_t at = 0; at < blocks_; ++at) {
      if (present < panel_outputs) blocks[at] = {}, scales[at] = {};
      for (size_t output = 0; output < present; ++output) {
        const Q8Block& block = source[(row + output) * blocks_ + at];
        scales[at].halves[output] = block.scale;
        for (size_t quad = 0; quad < block_quads; ++quad) {
          // Four bytes at once, 2.0 GB/s on one core of Zen 3 where single ones make 0.9: + 128 flips the first bit.
          uint32_t weights;
          std::memcpy(&weights, block.weights + quad * quad_inputs, sizeof(weights));
          weights ^= 0x80808080U;
          std::memcpy(blocks[at].weights[quad][output], &weights, sizeof(weights));
        }
      }
    }
  }
}

void PackedMatrix::unpack_row(size_t output, float* values) const {
  const auto* blocks = reinterpret_cast<const PackedBlock*>(panels(output));
  const auto* scales = reinterpret_cast<const PackedScales*>(blocks + blocks_);
  const size_t lane = output % panel_outputs;
  for (size_t at = 0; at < blocks_; ++at) {
    const float scale = from_half(scales[at].halves[lane]);
    for (size_t i = 0; i < block_inputs; ++i) {
      const int weight = blocks[at].weights[i / quad_inputs][lane][i % quad_inputs] - 128;
      values[at * block_inputs + i] = scale * static_cast<float>(weight);
    }
  }
}

}  // namespace tandem::kernels
