#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** 256 inputs of a row in ggml's q4_K, taken apart. */
struct Q4KBlock {
  /** Bytes in a file: two factors in half precision, 6 bits for each scale and minimum, and 4 bits for each input. */
  static constexpr size_t file_bytes = 2 * sizeof(uint16_t) + 12 + superblock_blocks * block_inputs / 2;

  uint16_t scale_factor;  // half precision
  uint16_t minimum_factor;
  uint8_t scales[superblock_blocks];
  uint8_t minimums[superblock_blocks];
  /** As q4_0 has them: the inputs from 16 on in the upper halves. */
  std::byte values[superblock_blocks][block_inputs / 2];

  static Q4KBlock from_file(const std::byte* bytes);
  void to_file(std::byte* bytes) const;
};

}  // namespace tandem::kernels
