#pragma once
#include <cmath>
#include <cstring>

#include "kernels/packed_matrix.h"
#include "kernels/superblock.h"
#include "kernels/upper_bits.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Where the rows of a file lie in panels, for packed_matrix.cpp alone.
namespace tandem::kernels {

/** A unit is what ggml calls a block: a scale in half precision and the weights, or a super-block. */
constexpr size_t unit_blocks(PackedType type) { return has_superblocks(type) ? superblock_blocks : 1; }
/** Bytes of a unit without super-blocks before its weights: a scale, and a minimum where the type has any. */
constexpr size_t head_bytes(PackedType type) { return scale_bytes_of(type) / panel_outputs; }
constexpr size_t unit_bytes(PackedType type) {
  return has_superblocks(type) ? superblock_bytes(type) : head_bytes(type) + lines_of(type) * quad_inputs;
}

/** Weights of q8_0 are packed as `weight + 128`, which flips the first bit; narrow ones are stored as in the file. */
constexpr uint32_t flipped_bits(PackedType type) { return type == PackedType::q8_0 ? 0x80808080U : 0; }

inline void copy_flipped(const std::byte* from, uint32_t flipped, std::byte* to) {
  uint32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  quad ^= flipped;
  std::memcpy(to, &quad, sizeof(quad));
}

constexpr uint16_t half_sign = 0x8000;

inline float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float size = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & half_sign) != 0 ? -size : size;
}

/** Four quads of each of four rows, `stride` bytes apart, become one line after the other, `cache_line` apart. */
inline void transpose_quads(const std::byte* rows, size_t stride, uint32_t flipped, std::byte* lines) {
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

/** One of the weights of a block without its scale, from a quad after another of its lines. */
template <PackedType Type>
int value_of(const std::byte* values, size_t input) {
  if (Type == PackedType::q8_0) return static_cast<int8_t>(values[input]);
  constexpr size_t half = block_inputs / 2;
  const auto byte = std::to_integer<int>(values[input % half]);
  const int lower = input < half ? byte & 0xf : byte >> 4;
  const auto upper = [&](size_t inputs, size_t bits) {
    const int all = std::to_integer<int>(values[half + input % inputs]) >> bits * (input / inputs);
    return (all & ((1 << bits) - 1)) << 4;
  };
  switch (Type) {
    case PackedType::q4_0: return lower - 8;
    case PackedType::q5_0: return (lower | upper(4, 1)) - 16;
    case PackedType::q5_1:
    case PackedType::q5_k: return lower | upper(4, 1);
    case PackedType::q6_k: return (lower | upper(8, 2)) - 32;
    default: return lower;
  }
}

/** The values of a unit without super-blocks, a quad after another of each line: in the file upper bits come first. */
template <PackedType Type>
struct UnitValues {
  static constexpr size_t lower_bytes = lower_lines_of(Type) * quad_inputs;
  static constexpr size_t upper_bytes = upper_bits_of(Type) * quad_inputs;
  std::byte bytes[lower_bytes + upper_bytes];

  static UnitValues from_file(const std::byte* unit) {
    UnitValues values;
    const std::byte* from = unit + head_bytes(Type);
    std::memcpy(values.bytes, from + upper_bytes, lower_bytes);
    if constexpr (upper_bytes > 0) read_upper_bits(from, values.bytes + lower_bytes);
    return values;
  }
  void to_file(std::byte* unit) const {
    std::byte* to = unit + head_bytes(Type);
    std::memcpy(to + upper_bytes, bytes, lower_bytes);
    if constexpr (upper_bytes > 0) write_upper_bits(bytes + lower_bytes, to);
  }
};

/** Where one unit of one row is packed. */
template <PackedType Type>
class PackedPlace {
 public:
  /** Unit `unit` of row `output` of a matrix of that shape, in the panel that has the row. */
  PackedPlace(const PackedShape& shape, std::byte* panel, size_t output, size_t unit)
      : first_(unit * unit_blocks(Type)), output_(output % panel_outputs), lines_(panel) {
    scales_ = lines_ + shape.blocks() * lines_of(Type) * cache_line;
    factors_ = reinterpret_cast<PackedFactors*>(scales_ + shape.blocks() * scale_bytes_of(Type)) + unit * factors_of(Type);
  }

  void get(std::byte* unit) const {
    if constexpr (has_superblocks(Type)) {
      get_superblock().to_file(Type, unit);
    } else {
      get_head(unit);
      UnitValues<Type> values;
      get_values(0, values.bytes);
      values.to_file(unit);
    }
  }
  void set(const std::byte* unit) {
    if constexpr (has_superblocks(Type)) {
      const auto superblock = Superblock::from_file(Type, unit);
      set_scales(superblock, 0);
      for (size_t i = 0; i < superblock_blocks; ++i) set_values(i, superblock.values[i]);
    } else {
      set_head(unit, 0);
      set_values(0, UnitValues<Type>::from_file(unit).bytes);
    }
  }
  /** The same of this row and the three after it, whose units are `stride` bytes apart. */
  void set_four(const std::byte* unit, size_t stride) {
    if constexpr (has_superblocks(Type)) return set_four_superblocks(unit, stride);
    for (size_t row = 0; row < 4; ++row) set_head(unit + row * stride, row);
    if (upper_bits_of(Type) == 0) return set_four_values(0, unit + head_bytes(Type), stride);
    UnitValues<Type> rows[4];
    for (size_t row = 0; row < 4; ++row) rows[row] = UnitValues<Type>::from_file(unit + row * stride);
    set_four_values(0, rows[0].bytes, sizeof(UnitValues<Type>));
  }
  /** The values that the unit stands for, computed as ggml does. */
  void unpack(float* values) const {
    if constexpr (has_superblocks(Type)) return unpack_superblock(values);
    std::byte bytes[block_inputs];
    get_values(0, bytes);
    const float factor = from_half(*half(0));
    const float minimum = has_minimums(Type) ? from_half(*half(1)) : 0;
    for (size_t i = 0; i < block_inputs; ++i) {
      values[i] = factor * static_cast<float>(value_of<Type>(bytes, i)) - minimum;
    }
  }

 private:
  std::byte* at(size_t block, size_t line, size_t row = 0) const {
    return lines_ + ((first_ + block) * lines_of(Type) + line) * cache_line + (output_ + row) * quad_inputs;
  }
  /** The scale of a row without super-blocks, or its minimum. */
  uint16_t* half(size_t part, size_t row = 0) const {
    return reinterpret_cast<uint16_t*>(scales_ + first_ * scale_bytes_of(Type)) + part * panel_outputs + output_ + row;
  }
  /** The minimum is the opposite of what the file has. */
  void get_head(std::byte* unit) const {
    const uint16_t halves[] = {*half(0), has_minimums(Type) ? static_cast<uint16_t>(*half(1) ^ half_sign) : uint16_t{0}};
    std::memcpy(unit, halves, head_bytes(Type));
  }
  void set_head(const std::byte* unit, size_t row) {
    uint16_t halves[2];
    std::memcpy(halves, unit, head_bytes(Type));
    *half(0, row) = halves[0];
    if (has_minimums(Type)) *half(1, row) = halves[1] ^ half_sign;
  }
  PackedSuperblockScales& scales_of(size_t block) const {
    return reinterpret_cast<PackedSuperblockScales*>(scales_)[first_ + block];
  }

  void get_values(size_t block, std::byte* values) const {
    for (size_t line = 0; line < lines_of(Type); ++line) {
      copy_flipped(at(block, line), flipped_bits(Type), values + line * quad_inputs);
    }
  }
  void set_values(size_t block, const std::byte* values) {
    for (size_t line = 0; line < lines_of(Type); ++line) {
      copy_flipped(values + line * quad_inputs, flipped_bits(Type), at(block, line));
    }
  }
  void set_four_values(size_t block, const std::byte* values, size_t stride) {
    size_t line = 0;
    for (; line + 4 <= lines_of(Type); line += 4) {
      transpose_quads(values + line * quad_inputs, stride, flipped_bits(Type), at(block, line));
    }
    for (; line < lines_of(Type); ++line) {
      for (size_t row = 0; row < 4; ++row) {
        std::memcpy(at(block, line, row), values + row * stride + line * quad_inputs, quad_inputs);
      }
    }
  }

  Superblock get_superblock() const {
    Superblock superblock{};
    for (size_t i = 0; i < factors_of(Type); ++i) superblock.factors[i] = factors_[i].halves[output_];
    for (size_t i = 0; i < superblock_blocks; ++i) {
      for (size_t part = 0; part < 2; ++part) superblock.scales[i][part] = scales_of(i).bytes[part][output_];
      get_values(i, superblock.values[i]);
    }
    return superblock;
  }
  /** All but the values, of a row that many behind this one. */
  void set_scales(const Superblock& superblock, size_t row) {
    for (size_t i = 0; i < factors_of(Type); ++i) factors_[i].halves[output_ + row] = superblock.factors[i];
    for (size_t i = 0; i < superblock_blocks; ++i) {
      for (size_t part = 0; part < 2; ++part) scales_of(i).bytes[part][output_ + row] = superblock.scales[i][part];
    }
  }
  void set_four_superblocks(const std::byte* unit, size_t stride) {
    Superblock rows[4];
    for (size_t row = 0; row < 4; ++row) {
      rows[row] = Superblock::from_file(Type, unit + row * stride);
      set_scales(rows[row], row);
    }
    for (size_t i = 0; i < superblock_blocks; ++i) set_four_values(i, rows[0].values[i], sizeof(Superblock));
  }
  void unpack_superblock(float* values) const {
    const Superblock superblock = get_superblock();
    const float factor = from_half(superblock.factors[0]);
    for (size_t i = 0; i < superblock_blocks; ++i) {
      const auto& [first, second] = superblock.scales[i];
      const float minimum = has_minimums(Type) ? from_half(superblock.factors[1]) * second : 0;
      for (size_t j = 0; j < block_inputs; ++j, ++values) {
        const float scale =
            has_minimums(Type) ? static_cast<float>(first) : static_cast<int8_t>(j < block_inputs / 2 ? first : second);
        *values = factor * scale * static_cast<float>(value_of<Type>(superblock.values[i], j)) - minimum;
      }
    }
  }

  size_t first_;   // block
  size_t output_;  // in the panel
  std::byte* lines_;
  std::byte* scales_;
  PackedFactors* factors_;
};

}  // namespace tandem::kernels
