#pragma once
#include <cstring>

#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** The lowest bit of each input of a quad. */
constexpr uint32_t first_bits = 0x01010101U;

inline uint32_t load_quad(const std::byte* bytes) {
  uint32_t quad;
  std::memcpy(&quad, bytes, sizeof(quad));
  return quad;
}

// The upper bits of 5: a byte of a packed quad has those of the inputs with its place in all quads of the block.

/** From bytes of all inputs whose bit `bit` it is, as in a super-block of q5_K. */
inline void read_upper_bits(const std::byte* inputs, size_t bit, std::byte* packed) {
  uint32_t all = 0;
  for (size_t quad = 0; quad < block_quads; ++quad) {
    all |= (load_quad(inputs + quad * quad_inputs) >> bit & first_bits) << quad;
  }
  std::memcpy(packed, &all, sizeof(all));
}

inline void add_upper_bits(const std::byte* packed, size_t bit, std::byte* inputs) {
  const uint32_t all = load_quad(packed);
  for (size_t quad = 0; quad < block_quads; ++quad) {
    std::byte* target = inputs + quad * quad_inputs;
    const uint32_t with = load_quad(target) | (all >> quad & first_bits) << bit;
    std::memcpy(target, &with, sizeof(with));
  }
}

/** From 32 bits, one input after another, as in q5_0. */
inline void read_upper_bits(const std::byte* bits, std::byte* packed) {
  const uint32_t inputs = load_quad(bits);
  uint32_t all = 0;
  // Seven places between the copies of a quad's bits: copy i has bit i as the lowest of a byte.
  for (size_t quad = 0; quad < block_quads; ++quad) {
    all |= ((inputs >> quad * quad_inputs & 0xf) * 0x204081U & first_bits) << quad;
  }
  std::memcpy(packed, &all, sizeof(all));
}

inline void write_upper_bits(const std::byte* packed, std::byte* bits) {
  const uint32_t all = load_quad(packed);
  uint32_t inputs = 0;
  for (size_t quad = 0; quad < block_quads; ++quad) {
    const uint32_t one = all >> quad & first_bits;
    inputs |= ((one | one >> 7 | one >> 14 | one >> 21) & 0xf) << quad * quad_inputs;
  }
  std::memcpy(bits, &inputs, sizeof(inputs));
}

}  // namespace tandem::kernels
