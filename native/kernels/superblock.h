#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** Bytes of a super-block in a file. */
constexpr size_t superblock_bytes(PackedType type) {
  return type == PackedType::q4_k ? 144 : type == PackedType::q5_k ? 176 : 210;
}

/** 256 inputs of a row in q4_K, q5_K or q6_K, taken apart. */
struct Superblock {
  /** Half precision: of the scales, and of the minimums. */
  uint16_t factors[2];
  /** Of 32 inputs each: in q4_K and q5_K a scale and a minimum, in q6_K a signed scale for either half of them. */
  uint8_t scales[superblock_blocks][2];
  /** A quad after another of each line, as `PackedBlock` has them. */
  std::byte values[superblock_blocks][lines_of(PackedType::q6_k) * quad_inputs];

  static Superblock from_file(PackedType type, const std::byte* bytes);
  void to_file(PackedType type, std::byte* bytes) const;
};

}  // namespace tandem::kernels
