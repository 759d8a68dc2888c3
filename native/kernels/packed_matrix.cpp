#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tandem::kernels {

namespace {

/** A block as ggml stores it: the scale in half precision, then 32 bytes of q8_0 or 16 of q4_0. */
constexpr size_t block_bytes(PackedType type) { return sizeof(uint16_t) + lines_of(type) * quad_inputs; }
constexpr size_t most_block_bytes = block_bytes(PackedType::q8_0);

/** One of the 32 weights of a block, behind its scale. */
int weight_of(PackedType type, const std::byte* weights, size_t input) {
  if (type == PackedType::q8_0) return static_cast<int8_t>(weights[input]);
  constexpr size_t half = block_inputs / 2;
  const auto byte = std::to_integer<int>(weights[input % half]);
  return (input < half ? byte & 0xf : byte >> 4) - 8;
}

/** Weights of q8_0 are packed as `weight + 128`, which flips the first bit; q4_0 has its `weight + 8` already. */
uint32_t flipped_bits(PackedType type) { return type == PackedType::q8_0 ? 0x80808080U : 0; }

void copy_flipped(const std::byte* from, uint32_t flipped, std::byte* to) {
  uint32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  quad ^= flipped;
  std::memcpy(to, &quad, sizeof(quad));
}

float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float size = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -size : size;
}

/** Four quads of each of four rows, `stride` bytes apart, become one line after the other, `cache_line` apart. */
void transpose_quads(const std::byte* rows, size_t stride, uint32_t flipped, std::byte* lines) {
#if defined(__SSE2__)
  const auto row = [&](size_t index) {
    const __m128i quads = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + index * stride));
    return _mm_xor_si128(quads, _mm_set1_epi32(static_cast<int>(flipped)));
  };
  const auto line = [&](size_t index, __m128i quads) {
    _mm_store_si128(reinterpret_cast<__m128i*>(lines + index * cache_line), quads);
  };
  const __m128i row_0 = row(0), row_1 = row(1), row_2 = row(2), row_3 = row(3);
  const __m128i first_01 = _mm_unpacklo_epi32(row_0, row_1), first_23 = _mm_unpacklo_epi32(row_2, row_3);
  const __m128i last_01 = _mm_unpackhi_epi32(row_0, row_1), last_23 = _mm_unpackhi_epi32(row_2, row_3);
  line(0, _mm_unpacklo_epi64(first_01, first_23));
  line(1, _mm_unpackhi_epi64(first_01, first_23));
  line(2, _mm_unpacklo_epi64(last_01, last_23));
  line(3, _mm_unpackhi_epi64(last_01, last_23));
#else
  for (size_t row = 0; row < 4; ++row) {
    for (size_t line = 0; line < 4; ++line) {
      copy_flipped(rows + row * stride + line * quad_inputs, flipped, lines + line * cache_line + row * quad_inputs);
    }
  }
#endif
}

/** Brings rows into the second cache: sixteen that are read side by side are too many for a processor to foresee. */
void prefetch(const std::byte* rows, size_t bytes) {
#if defined(__SSE2__)
  for (size_t i = 0; i < bytes; i += cache_line) _mm_prefetch(reinterpret_cast<const char*>(rows + i), _MM_HINT_T1);
#else
  static_cast<void>(rows);
  static_cast<void>(bytes);
#endif
}

/** Where one block of one row is packed. */
class PackedPlace {
 public:
  PackedPlace(const PackedShape& shape, std::byte* panel, size_t output, size_t block)
      : lines_(panel + block * lines_of(shape.type) * cache_line + output % panel_outputs * quad_inputs),
        scale_(panel + shape.blocks() * lines_of(shape.type) * cache_line + block * sizeof(PackedScales) +
               output % panel_outputs * sizeof(uint16_t)),
        type_(shape.type) {}

  void get(std::byte* block) const {
    std::memcpy(block, scale_, sizeof(uint16_t));
    for (size_t line = 0; line < lines_of(type_); ++line) copy_flipped(at(line), flipped_bits(type_), block + quad_of(line));
  }
  void set(const std::byte* block) {
    std::memcpy(scale_, block, sizeof(uint16_t));
    for (size_t line = 0; line < lines_of(type_); ++line) copy_flipped(block + quad_of(line), flipped_bits(type_), at(line));
  }
  /** The same of this row and the three after it, whose blocks are `stride` bytes apart. */
  void set_four(const std::byte* block, size_t stride) {
    for (size_t row = 0; row < 4; ++row) std::memcpy(scale_ + row * sizeof(uint16_t), block + row * stride, sizeof(uint16_t));
    for (size_t line = 0; line < lines_of(type_); line += 4) {
      transpose_quads(block + quad_of(line), stride, flipped_bits(type_), at(line));
    }
  }

 private:
  static size_t quad_of(size_t line) { return sizeof(uint16_t) + line * quad_inputs; }
  std::byte* at(size_t line) const { return lines_ + line * cache_line; }

  std::byte* lines_;
  std::byte* scale_;
  PackedType type_;
};

/** Calls `visit(block, first byte within it, bytes)` for every block that has a part of the bytes from `offset` on. */
template <typename Visit>
void for_each_block(PackedType type, size_t offset, size_t size, Visit visit) {
  const size_t bytes = block_bytes(type);
  for (const size_t end = offset + size; offset < end;) {
    const size_t first = offset % bytes;
    const size_t count = std::min(bytes - first, end - offset);
    visit(offset / bytes, first, count);
    offset += count;
  }
}

}  // namespace

void PackedMatrix::read(size_t offset, size_t size, std::byte* rows) const {
  for_each_block(type(), offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / blocks();
    std::byte block[most_block_bytes];
    PackedPlace(shape_, panel_of(output), output, index % blocks()).get(block);
    std::memcpy(rows, block + first, count);
    rows += count;
  });
}

void PackedMatrix::write(size_t offset, size_t size, const std::byte* rows) {
  for_each_block(type(), offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / blocks();
    PackedPlace place(shape_, panel_of(output), output, index % blocks());
    std::byte block[most_block_bytes];
    place.get(block);
    std::memcpy(block + first, rows, count);
    place.set(block);
    rows += count;
  });
}

// Nearly as fast as a copy: 4.5 to 5.2 GB/s on one core of Zen 3 by the length of rows (memcpy 5.6), 2.1 to 2.8 without looking
// ahead, and 1.0 to 1.6 where single quads were copied; medians of five runs side by side.
void PackedMatrix::pack(size_t first, size_t count, const std::byte* rows) {
  const size_t bytes = block_bytes(type());
  const size_t stride = blocks() * bytes;
  for (size_t row = 0; row < count; row += panel_outputs) {
    std::byte* panel = panel_of(first + row);
    const size_t present = std::min(panel_outputs, count - row);
    if (present < panel_outputs) std::memset(panel, 0, panel_bytes(type(), blocks()));
    for (size_t at = 0; at < blocks(); ++at) {
      const std::byte* block = rows + row * stride + at * bytes;
      // As much of the next panel as of this one has been packed.
      const size_t ahead = (row + panel_outputs) * stride + at * panel_outputs * bytes;
      if (ahead < count * stride) prefetch(rows + ahead, panel_outputs * bytes);
      size_t output = 0;
      for (; output + 4 <= present; output += 4) {
        PackedPlace(shape_, panel, output, at).set_four(block + output * stride, stride);
      }
      for (; output < present; ++output) PackedPlace(shape_, panel, output, at).set(block + output * stride);
    }
  }
}

void PackedMatrix::unpack_row(size_t output, float* values) const {
  for (size_t at = 0; at < blocks(); ++at, values += block_inputs) {
    std::byte block[most_block_bytes];
    PackedPlace(shape_, panel_of(output), output, at).get(block);
    uint16_t half;
    std::memcpy(&half, block, sizeof(half));
    const float scale = from_half(half);
    const std::byte* weights = block + sizeof(half);
    for (size_t i = 0; i < block_inputs; ++i) values[i] = scale * static_cast<float>(weight_of(type(), weights, i));
  }
}

}  // namespace tandem::kernels
