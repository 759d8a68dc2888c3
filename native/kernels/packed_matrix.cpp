#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/q4_k_block.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tandem::kernels {

namespace {

/** A unit is what ggml calls a block: of q8_0 and q4_0 a scale in half precision and the weights, of q4_K eight such blocks. */
constexpr size_t unit_blocks(PackedType type) { return type == PackedType::q4_k ? superblock_blocks : 1; }
constexpr size_t unit_bytes(PackedType type) {
  return type == PackedType::q4_k ? Q4KBlock::file_bytes : sizeof(uint16_t) + lines_of(type) * quad_inputs;
}
constexpr size_t most_unit_bytes = unit_bytes(PackedType::q4_k);

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

/** The weights of a unit without their scales, as a line of the panel has them but for the flipped bits. */
int value_of(PackedType type, const std::byte* values, size_t input) {
  if (type == PackedType::q8_0) return static_cast<int8_t>(values[input]);
  constexpr size_t half = block_inputs / 2;
  const auto byte = std::to_integer<int>(values[input % half]);
  return input < half ? byte & 0xf : byte >> 4;
}

/** Where one unit of one row is packed. */
class PackedPlace {
 public:
  PackedPlace(const PackedShape& shape, std::byte* panel, size_t output, size_t unit)
      : type_(shape.type), first_(unit * unit_blocks(shape.type)), output_(output % panel_outputs), lines_(panel) {
    scales_ = lines_ + shape.blocks() * lines_of(type_) * cache_line;
    factors_ = reinterpret_cast<PackedFactors*>(scales_ + shape.blocks() * scale_bytes) + first_ / superblock_blocks;
  }

  void get(std::byte* unit) const {
    if (type_ == PackedType::q4_k) {
      get_q4_k().to_file(unit);
    } else {
      std::memcpy(unit, scale(), sizeof(uint16_t));
      get_values(0, unit + sizeof(uint16_t));
    }
  }
  void set(const std::byte* unit) {
    if (type_ == PackedType::q4_k) {
      const auto block = Q4KBlock::from_file(unit);
      set_scales(block, 0);
      for (size_t i = 0; i < superblock_blocks; ++i) set_values(i, block.values[i]);
    } else {
      std::memcpy(scale(), unit, sizeof(uint16_t));
      set_values(0, unit + sizeof(uint16_t));
    }
  }
  /** The same of this row and the three after it, whose units are `stride` bytes apart. */
  void set_four(const std::byte* unit, size_t stride) {
    if (type_ == PackedType::q4_k) return set_four_q4_k(unit, stride);
    for (size_t row = 0; row < 4; ++row) std::memcpy(scale() + row * sizeof(uint16_t), unit + row * stride, sizeof(uint16_t));
    for (size_t line = 0; line < lines_of(type_); line += 4) {
      transpose_quads(unit + sizeof(uint16_t) + line * quad_inputs, stride, flipped_bits(type_), at(0, line));
    }
  }
  /** The values that the unit stands for, computed as ggml does. */
  void unpack(float* values) const {
    if (type_ == PackedType::q4_k) return unpack_q4_k(values);
    std::byte bytes[block_inputs];
    get_values(0, bytes);
    uint16_t half;
    std::memcpy(&half, scale(), sizeof(half));
    const float factor = from_half(half);
    const int surplus = type_ == PackedType::q4_0 ? 8 : 0;
    for (size_t i = 0; i < block_inputs; ++i) values[i] = factor * static_cast<float>(value_of(type_, bytes, i) - surplus);
  }

 private:
  using Scales = PackedScales<PackedType::q4_k>;

  std::byte* at(size_t block, size_t line) const {
    return lines_ + ((first_ + block) * lines_of(type_) + line) * cache_line + output_ * quad_inputs;
  }
  std::byte* scale() const { return scales_ + first_ * scale_bytes + output_ * sizeof(uint16_t); }
  Scales& scales_of(size_t block) const { return reinterpret_cast<Scales*>(scales_)[first_ + block]; }

  void get_values(size_t block, std::byte* values) const {
    for (size_t line = 0; line < lines_of(type_); ++line) {
      copy_flipped(at(block, line), flipped_bits(type_), values + line * quad_inputs);
    }
  }
  void set_values(size_t block, const std::byte* values) {
    for (size_t line = 0; line < lines_of(type_); ++line) {
      copy_flipped(values + line * quad_inputs, flipped_bits(type_), at(block, line));
    }
  }

  Q4KBlock get_q4_k() const {
    Q4KBlock block;
    block.scale_factor = factors_->scales[output_];
    block.minimum_factor = factors_->minimums[output_];
    for (size_t i = 0; i < superblock_blocks; ++i) {
      block.scales[i] = scales_of(i).scales[output_];
      block.minimums[i] = scales_of(i).minimums[output_];
      get_values(i, block.values[i]);
    }
    return block;
  }
  /** All but the values, of a row that many behind this one. */
  void set_scales(const Q4KBlock& block, size_t row) {
    factors_->scales[output_ + row] = block.scale_factor;
    factors_->minimums[output_ + row] = block.minimum_factor;
    for (size_t i = 0; i < superblock_blocks; ++i) {
      scales_of(i).scales[output_ + row] = block.scales[i];
      scales_of(i).minimums[output_ + row] = block.minimums[i];
    }
  }
  void set_four_q4_k(const std::byte* unit, size_t stride) {
    Q4KBlock rows[4];
    for (size_t row = 0; row < 4; ++row) {
      rows[row] = Q4KBlock::from_file(unit + row * stride);
      set_scales(rows[row], row);
    }
    for (size_t i = 0; i < superblock_blocks; ++i) transpose_quads(rows[0].values[i], sizeof(Q4KBlock), 0, at(i, 0));
  }
  void unpack_q4_k(float* values) const {
    const Q4KBlock block = get_q4_k();
    for (size_t i = 0; i < superblock_blocks; ++i) {
      const float factor = from_half(block.scale_factor) * block.scales[i];
      const float minimum = from_half(block.minimum_factor) * block.minimums[i];
      for (size_t j = 0; j < block_inputs; ++j, ++values) {
        *values = factor * static_cast<float>(value_of(type_, block.values[i], j)) - minimum;
      }
    }
  }

  PackedType type_;
  size_t first_;   // block
  size_t output_;  // in the panel
  std::byte* lines_;
  std::byte* scales_;
  PackedFactors* factors_;
};

/** Calls `visit(unit, first byte within it, bytes)` for every unit that has a part of the bytes from `offset` on. */
template <typename Visit>
void for_each_unit(PackedType type, size_t offset, size_t size, Visit visit) {
  const size_t bytes = unit_bytes(type);
  for (const size_t end = offset + size; offset < end;) {
    const size_t first = offset % bytes;
    const size_t count = std::min(bytes - first, end - offset);
    visit(offset / bytes, first, count);
    offset += count;
  }
}

}  // namespace

void PackedMatrix::read(size_t offset, size_t size, std::byte* rows) const {
  const size_t units = blocks() / unit_blocks(type());
  for_each_unit(type(), offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / units;
    std::byte unit[most_unit_bytes];
    PackedPlace(shape_, panel_of(output), output, index % units).get(unit);
    std::memcpy(rows, unit + first, count);
    rows += count;
  });
}

void PackedMatrix::write(size_t offset, size_t size, const std::byte* rows) {
  const size_t units = blocks() / unit_blocks(type());
  for_each_unit(type(), offset, size, [&](size_t index, size_t first, size_t count) {
    const size_t output = index / units;
    PackedPlace place(shape_, panel_of(output), output, index % units);
    std::byte unit[most_unit_bytes];
    place.get(unit);
    std::memcpy(unit + first, rows, count);
    place.set(unit);
    rows += count;
  });
}

// Nearly as fast as a copy: 4.5 to 5.2 GB/s on one core of Zen 3 by the length of rows (memcpy 5.6), 2.1 to 2.8 without looking
// ahead, and 1.0 to 1.6 where single quads were copied; medians of five runs side by side.
void PackedMatrix::pack(size_t first, size_t count, const std::byte* rows) {
  const size_t bytes = unit_bytes(type());
  const size_t units = blocks() / unit_blocks(type());
  const size_t stride = units * bytes;
  for (size_t row = 0; row < count; row += panel_outputs) {
    std::byte* panel = panel_of(first + row);
    const size_t present = std::min(panel_outputs, count - row);
    if (present < panel_outputs) std::memset(panel, 0, panel_bytes(type(), blocks()));
    for (size_t at = 0; at < units; ++at) {
      const std::byte* unit = rows + row * stride + at * bytes;
      // As much of the next panel as of this one has been packed.
      const size_t ahead = (row + panel_outputs) * stride + at * panel_outputs * bytes;
      if (ahead < count * stride) prefetch(rows + ahead, panel_outputs * bytes);
      size_t output = 0;
      for (; output + 4 <= present; output += 4) {
        PackedPlace(shape_, panel, output, at).set_four(unit + output * stride, stride);
      }
      for (; output < present; ++output) PackedPlace(shape_, panel, output, at).set(unit + output * stride);
    }
  }
}

void PackedMatrix::unpack_row(size_t output, float* values) const {
  const size_t inputs_of_unit = unit_blocks(type()) * block_inputs;
  for (size_t unit = 0; unit * inputs_of_unit < inputs(); ++unit) {
    PackedPlace(shape_, panel_of(output), output, unit).unpack(values + unit * inputs_of_unit);
  }
}

}  // namespace tandem::kernels
