#include "kernels/q4_k_block.h"

#include <cstring>

namespace tandem::kernels {

namespace {

constexpr size_t half_block = block_inputs / 2;
constexpr std::byte lower{0x0f};
constexpr std::byte upper{0xf0};

/** Behind the factors: 8 scales and 8 minimums, of which the last four of each are parted into 4 bits and 2. */
constexpr size_t scales_at = 2 * sizeof(uint16_t);
constexpr size_t values_at = scales_at + 12;

}  // namespace

Q4KBlock Q4KBlock::from_file(const std::byte* bytes) {
  Q4KBlock block;
  std::memcpy(&block.scale_factor, bytes, sizeof(uint16_t));
  std::memcpy(&block.minimum_factor, bytes + sizeof(uint16_t), sizeof(uint16_t));
  uint8_t packed[12];
  std::memcpy(packed, bytes + scales_at, sizeof(packed));
  for (size_t i = 0; i < 4; ++i) {
    block.scales[i] = packed[i] & 63;
    block.minimums[i] = packed[i + 4] & 63;
    block.scales[i + 4] = static_cast<uint8_t>((packed[i + 8] & 15) | packed[i] >> 6 << 4);
    block.minimums[i + 4] = static_cast<uint8_t>(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
  }
  // Two blocks share 32 bytes, the second in the upper halves.
  for (size_t pair = 0; pair < superblock_blocks; pair += 2) {
    const std::byte* both = bytes + values_at + pair * half_block;
    for (size_t i = 0; i < half_block; ++i) {
      block.values[pair][i] = (both[i] & lower) | both[i + half_block] << 4;
      block.values[pair + 1][i] = both[i] >> 4 | (both[i + half_block] & upper);
    }
  }
  return block;
}

void Q4KBlock::to_file(std::byte* bytes) const {
  std::memcpy(bytes, &scale_factor, sizeof(uint16_t));
  std::memcpy(bytes + sizeof(uint16_t), &minimum_factor, sizeof(uint16_t));
  uint8_t packed[12];
  for (size_t i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(scales[i] | scales[i + 4] >> 4 << 6);
    packed[i + 4] = static_cast<uint8_t>(minimums[i] | minimums[i + 4] >> 4 << 6);
    packed[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | minimums[i + 4] << 4);
  }
  std::memcpy(bytes + scales_at, packed, sizeof(packed));
  for (size_t pair = 0; pair < superblock_blocks; pair += 2) {
    std::byte* both = bytes + values_at + pair * half_block;
    for (size_t i = 0; i < half_block; ++i) {
      both[i] = (values[pair][i] & lower) | values[pair + 1][i] << 4;
      both[i + half_block] = values[pair][i] >> 4 | (values[pair + 1][i] & upper);
    }
  }
}

}  // namespace tandem::kernels
