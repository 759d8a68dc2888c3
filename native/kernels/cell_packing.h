#pragma once
#include <immintrin.h>

#include "kernels/kernel_set.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/**
 * Keys as they lie in cells -> tiles, in which a value of sixteen keys is one line, and their values side by side; with AVX2,
 * which all sets have.
 */
template <typename InstructionSet>
struct CellPacking {
  static void pack_cells(const CellRows& rows, uint16_t* tiles, uint16_t* values) {
    static constexpr uint16_t none[max_head_size] = {};
    const auto place = [&](size_t number) { return static_cast<size_t>(rows.cells[number]) * rows.cell_stride; };
    for (size_t first = 0; first < rows.count; first += tile_keys) {
      const uint16_t* keys[tile_keys];
      for (size_t j = 0; j < tile_keys; ++j) {
        const size_t number = first + j;
        keys[j] = number < rows.count ? rows.keys + place(number) : none;
      }
      for (size_t i = 0; i < rows.head_size; i += values_at_once) {
        turn(keys, i, tiles + first * rows.head_size + i * tile_keys);
      }
    }
    for (size_t j = 0; j < rows.count; ++j) copy(rows.values + place(j), rows.head_size, values + j * rows.head_size);
  }

 private:
  static constexpr size_t values_at_once = 8;
  static constexpr size_t half = tile_keys / 2;

  /** A head is a few vectors: less than a call of `memcpy` would take. */
  static void copy(const uint16_t* source, size_t size, uint16_t* target) {
    for (size_t i = 0; i < size; i += head_size_multiple) {
      const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + i), halves);
    }
  }

  /** Values of the key and of the one half a tile behind it: in either half of a vector the same is done. */
  static __m256i load(const uint16_t* key, const uint16_t* later_key) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key))),
                                   _mm_loadu_si128(reinterpret_cast<const __m128i*>(later_key)), 1);
  }

  /** Eight values of sixteen keys, from the `i`th on: pairs of keys, then fours, then eights side by side. */
  static void turn(const uint16_t* const (&keys)[tile_keys], size_t i, uint16_t* lines) {
    __m256i pairs[half];  // the first four values of two keys, then the last four
    for (size_t j = 0; j < half; j += 2) {
      const __m256i even = load(keys[j] + i, keys[j + half] + i);
      const __m256i odd = load(keys[j + 1] + i, keys[j + 1 + half] + i);
      pairs[j] = _mm256_unpacklo_epi16(even, odd);
      pairs[j + 1] = _mm256_unpackhi_epi16(even, odd);
    }
    auto* line = reinterpret_cast<__m256i*>(lines);
    for (size_t four = 0; four < 2; ++four, line += 4) {
      const __m256i low[2] = {_mm256_unpacklo_epi32(pairs[four], pairs[four + 2]),
                              _mm256_unpackhi_epi32(pairs[four], pairs[four + 2])};
      const __m256i high[2] = {_mm256_unpacklo_epi32(pairs[four + 4], pairs[four + 6]),
                               _mm256_unpackhi_epi32(pairs[four + 4], pairs[four + 6])};
      for (size_t two = 0; two < 2; ++two) {
        _mm256_storeu_si256(line + 2 * two, _mm256_unpacklo_epi64(low[two], high[two]));
        _mm256_storeu_si256(line + 2 * two + 1, _mm256_unpackhi_epi64(low[two], high[two]));
      }
    }
  }
};

}  // namespace tandem::kernels
