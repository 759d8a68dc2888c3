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

}  // namespace

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
          for (size_t i = 0; i < quad_inputs; ++i) {
            const int weight = block.weights[quad * quad_inputs + i];
            blocks[at].weights[quad][output][i] = static_cast<uint8_t>(weight + 128);
          }
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
