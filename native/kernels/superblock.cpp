#include "kernels/superblock.h"

#include <cstring>

#include "kernels/upper_bits.h"

// The order of bits in files is that of ggml's `block_q4_K`, `block_q5_K` and `block_q6_K`.
namespace tandem::kernels {

namespace {

constexpr size_t half_block = block_inputs / 2;
constexpr std::byte lower{0x0f};
constexpr std::byte upper{0xf0};

/** Where the parts of q4_K begin: behind the factors 8 scales and 8 minimums of 6 bits, then the values. */
constexpr size_t q4_k_scales = 2 * sizeof(uint16_t);
constexpr size_t q4_k_scale_bytes = 12;
constexpr size_t q4_k_values = q4_k_scales + q4_k_scale_bytes;
/** q5_K has the upper bits between them: of each input a byte with those of all blocks, the first block's the lowest. */
constexpr size_t q5_k_upper = q4_k_values;
constexpr size_t q5_k_values = q5_k_upper + block_inputs;

/** Of the last four scales and minimums the upper two bits lie above those of the first four. */
void read_scales(const std::byte* bytes, uint8_t (&scales)[superblock_blocks][2]) {
  uint8_t packed[q4_k_scale_bytes];
  std::memcpy(packed, bytes, sizeof(packed));
  for (size_t i = 0; i < 4; ++i) {
    for (size_t part = 0; part < 2; ++part) {
      const uint8_t first = packed[i + part * 4];
      scales[i][part] = first & 63;
      scales[i + 4][part] = static_cast<uint8_t>((packed[i + 8] >> 4 * part & 15) | first >> 6 << 4);
    }
  }
}

void write_scales(const uint8_t (&scales)[superblock_blocks][2], std::byte* bytes) {
  uint8_t packed[q4_k_scale_bytes] = {};
  for (size_t i = 0; i < 4; ++i) {
    for (size_t part = 0; part < 2; ++part) {
      packed[i + part * 4] = static_cast<uint8_t>(scales[i][part] | scales[i + 4][part] >> 4 << 6);
      packed[i + 8] = static_cast<uint8_t>(packed[i + 8] | (scales[i + 4][part] & 15) << 4 * part);
    }
  }
  std::memcpy(bytes, packed, sizeof(packed));
}

/** Two blocks whose values have 4 bits in 32 bytes, the second's in the upper halves. */
void read_pair(const std::byte* bytes, std::byte* first, std::byte* second) {
  for (size_t i = 0; i < half_block; ++i) {
    first[i] = (bytes[i] & lower) | bytes[i + half_block] << 4;
    second[i] = bytes[i] >> 4 | (bytes[i + half_block] & upper);
  }
}

void write_pair(const std::byte* first, const std::byte* second, std::byte* bytes) {
  for (size_t i = 0; i < half_block; ++i) {
    bytes[i] = (first[i] & lower) | second[i] << 4;
    bytes[i + half_block] = first[i] >> 4 | (second[i] & upper);
  }
}

/** Where the parts of q6_K begin: lower 4 bits, upper 2 bits, 16 scales, and their factor. */
constexpr size_t q6_k_upper = superblock_blocks * half_block;
constexpr size_t q6_k_scales = q6_k_upper + superblock_blocks * block_inputs / 4;
constexpr size_t q6_k_factor = q6_k_scales + superblock_blocks * 2;
/** Half a super-block has its own bytes of upper bits: those of its first block are the lowest of each byte, and so on. */
constexpr size_t blocks_of_half = superblock_blocks / 2;
constexpr uint64_t two_bits = 0x0303030303030303U;
constexpr size_t eight = sizeof(uint64_t);

uint64_t load_eight(const std::byte* bytes) {
  uint64_t values;
  std::memcpy(&values, bytes, eight);
  return values;
}

/** Eight inputs after another: the upper bits of a block. */
uint64_t read_upper(const std::byte* bytes, size_t block) {
  uint64_t values = 0;
  for (size_t i = 0; i < 4; ++i) {
    values |= (load_eight(bytes + i * eight) >> 2 * (block % blocks_of_half) & two_bits) << 2 * i;
  }
  return values;
}

void add_upper(uint64_t values, size_t block, std::byte* bytes) {
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t all = load_eight(bytes + i * eight) | (values >> 2 * i & two_bits) << 2 * (block % blocks_of_half);
    std::memcpy(bytes + i * eight, &all, eight);
  }
}

}  // namespace

Superblock Superblock::from_file(PackedType type, const std::byte* bytes) {
  Superblock block;
  if (has_minimums(type)) {
    std::memcpy(block.factors, bytes, sizeof(block.factors));
    read_scales(bytes + q4_k_scales, block.scales);
    const std::byte* values = bytes + (type == PackedType::q5_k ? q5_k_values : q4_k_values);
    for (size_t i = 0; i < superblock_blocks; i += 2) {
      read_pair(values + i * half_block, block.values[i], block.values[i + 1]);
    }
    if (type == PackedType::q5_k) {
      for (size_t i = 0; i < superblock_blocks; ++i) read_upper_bits(bytes + q5_k_upper, i, block.values[i] + half_block);
    }
    return block;
  }
  std::memcpy(block.factors, bytes + q6_k_factor, sizeof(uint16_t));
  std::memcpy(block.scales, bytes + q6_k_scales, sizeof(block.scales));
  for (size_t i = 0; i < superblock_blocks; ++i) {
    const size_t half = i / blocks_of_half;
    // A block shares its lower bits with the next but one.
    if (i % blocks_of_half < 2) {
      read_pair(bytes + half * blocks_of_half * half_block + i % 2 * block_inputs, block.values[i], block.values[i + 2]);
    }
    const uint64_t values = read_upper(bytes + q6_k_upper + half * block_inputs, i);
    std::memcpy(block.values[i] + half_block, &values, eight);
  }
  return block;
}

void Superblock::to_file(PackedType type, std::byte* bytes) const {
  if (has_minimums(type)) {
    std::memcpy(bytes, factors, sizeof(factors));
    write_scales(scales, bytes + q4_k_scales);
    std::byte* target = bytes + (type == PackedType::q5_k ? q5_k_values : q4_k_values);
    for (size_t i = 0; i < superblock_blocks; i += 2) write_pair(values[i], values[i + 1], target + i * half_block);
    if (type == PackedType::q5_k) {
      std::memset(bytes + q5_k_upper, 0, block_inputs);
      for (size_t i = 0; i < superblock_blocks; ++i) add_upper_bits(values[i] + half_block, i, bytes + q5_k_upper);
    }
    return;
  }
  std::memcpy(bytes + q6_k_factor, factors, sizeof(uint16_t));
  std::memcpy(bytes + q6_k_scales, scales, sizeof(scales));
  std::memset(bytes + q6_k_upper, 0, q6_k_scales - q6_k_upper);
  for (size_t i = 0; i < superblock_blocks; ++i) {
    const size_t half = i / blocks_of_half;
    if (i % blocks_of_half < 2) {
      write_pair(values[i], values[i + 2], bytes + half * blocks_of_half * half_block + i % 2 * block_inputs);
    }
    add_upper(load_eight(values[i] + half_block), i, bytes + q6_k_upper + half * block_inputs);
  }
}

}  // namespace tandem::kernels
