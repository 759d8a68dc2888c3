#pragma once
#include <cmath>
#include <cstring>

#include "kernels/kernel_set.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/** `InstructionSet` as in packed_product.h; it also has `load`, `load_halves` and `sum_of_lanes`. */
template <typename InstructionSet>
struct CellAttention {
  using Set = InstructionSet;
  /** Cells that are read, weighed and summed up before the next: their keys and values stay in the first cache. */
  static constexpr size_t tile = 16;

  /**
   * One pass over the cells with a running maximum (Milakov and Gimelshein 2018, Online normalizer calculation for
   * softmax): every key and value is read and widened once for all rows, and there is no table of scores.
   */
  static void attend(const Attention& task) {
    float largest[max_attention_rows];
    float total[max_attention_rows];
    for (size_t row = 0; row < task.rows; ++row) {
      largest[row] = -INFINITY;
      total[row] = 0;
      for (size_t i = 0; i < task.head_size; ++i) task.output[row * task.output_stride + i] = 0;
    }
    for (size_t first = 0; first < task.count; first += tile) {
      const size_t count = task.count - first < tile ? task.count - first : tile;
      float vectors[tile][max_head_size];
      widen(task, task.keys, first, count, vectors);
      float weights[max_attention_rows][tile];
      for (size_t row = 0; row < task.rows; ++row) {
        score(task, row, first, count, vectors, weights[row]);
        const float factor = weigh(weights[row], largest[row], total[row]);
        float* output = task.output + row * task.output_stride;
        for (size_t i = 0; i < task.head_size; ++i) output[i] *= factor;
      }
      widen(task, task.values, first, count, vectors);
      for (size_t row = 0; row < task.rows; ++row) {
        add_values(weights[row], count, vectors, task.head_size, task.output + row * task.output_stride);
      }
    }
    for (size_t row = 0; row < task.rows; ++row) {
      for (size_t i = 0; i < task.head_size; ++i) task.output[row * task.output_stride + i] /= total[row];
    }
  }

 private:
  static void widen(const Attention& task, const uint16_t* halves, size_t first, size_t count,
                    float (&vectors)[tile][max_head_size]) {
    for (size_t j = 0; j < count; ++j) {
      const size_t cell = task.cells == nullptr ? first + j : static_cast<size_t>(task.cells[first + j]);
      const uint16_t* source = halves + cell * task.cell_stride;
      for (size_t i = 0; i < task.head_size; i += Set::lanes) Set::store(vectors[j] + i, Set::load_halves(source + i));
    }
  }

  /** Minus infinity behind the last cell. */
  static void score(const Attention& task, size_t row, size_t first, size_t count,
                    const float (&keys)[tile][max_head_size], float (&scores)[tile]) {
    const float* query = task.queries + row * task.query_stride;
    for (size_t j = 0; j < tile; ++j) {
      if (j >= count) {
        scores[j] = -INFINITY;
        continue;
      }
      auto sum = Set::broadcast(0.0F);
      for (size_t i = 0; i < task.head_size; i += Set::lanes) {
        sum = Set::multiply_add(Set::load(query + i), Set::load(keys[j] + i), sum);
      }
      scores[j] = Set::sum_of_lanes(sum) + (task.bias == nullptr ? 0.0F : task.bias[first + j]);
    }
  }

  /** Scores -> their exponentials below the largest so far; the factor by which what was summed up before shrinks. */
  static float weigh(float (&weights)[tile], float& largest, float& total) {
    const float before = largest;
    for (const float weight : weights) largest = weight > largest ? weight : largest;
    // Nothing is visible yet: the difference of two infinities would be no number.
    const float shift = largest == -INFINITY ? 0.0F : largest;
    const float factor = exponential(before - shift);
    for (float& weight : weights) weight = exponential(weight - shift);
    total *= factor;
    for (const float weight : weights) total += weight;
    return factor;
  }

  /** e^x for x up to 0: 2^n e^r with |r| up to ln(2) / 2, where Taylor's series to r^7 is exact to single precision. */
  static float exponential(float x) {
    constexpr float log2_e = 1.44269504F;
    constexpr float ln_2_high = 0.693359375F;  // few enough bits that its product with n is exact
    constexpr float ln_2_low = -2.12194440e-4F;
    constexpr float smallest = -87.0F;
    // Bounded, because an infinity is no integer; what is below the bound becomes 0 at the end.
    const float n = std::nearbyintf((x > smallest ? x : smallest) * log2_e);
    const float r = (x - n * ln_2_high) - n * ln_2_low;
    const float series =
        1 + r * (1 + r * (1.0F / 2 + r * (1.0F / 6 + r * (1.0F / 24 + r * (1.0F / 120 + r * (1.0F / 720 + r / 5040))))));
    const uint32_t bits = (static_cast<uint32_t>(static_cast<int32_t>(n)) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof(power));
    return x < smallest ? 0.0F : series * power;
  }

  static void add_values(const float (&weights)[tile], size_t count, const float (&values)[tile][max_head_size],
                         size_t head_size, float* output) {
    for (size_t i = 0; i < head_size; i += Set::lanes) {
      auto sum = Set::load(output + i);
      for (size_t j = 0; j < count; ++j) {
        sum = Set::multiply_add(Set::broadcast(weights[j]), Set::load(values[j] + i), sum);
      }
      Set::store(output + i, sum);
    }
  }
};

}  // namespace tandem::kernels
