#pragma once
#include <cmath>
#include <cstring>

#include "kernels/kernel_set.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/**
 * The softmax of one row in one pass over its scores, with a running maximum (Milakov and Gimelshein 2018, Online normalizer
 * calculation for softmax): what was summed up shrinks whenever a larger score is seen.
 *
 * `InstructionSet` as in packed_product.h; it also has `load`, `maximum` and `largest_of_lanes`; for attention,
 * `load_halves` and `sum_of_lanes` as well.
 */
template <typename InstructionSet>
class OnlineSoftmax {
  using Set = InstructionSet;
  static constexpr size_t vectors = tile_keys / Set::lanes;

 public:
  /** Sees scores of whole tiles; the factor by which what was summed up before shrinks. */
  float see(const float* scores, size_t tiles) {
    const float before = largest_;
    auto most = Set::broadcast(before);
    for (size_t i = 0; i < tiles * tile_keys; i += Set::lanes) most = Set::maximum(Set::load(scores + i), most);
    largest_ = Set::largest_of_lanes(most);
    // Most tiles hold no larger score than those before.
    if (largest_ == before) return 1;
    const float factor = exponential(before - shift());
    for (float& total : totals_) total *= factor;
    return factor;
  }

  /** Scores that were seen -> their exponentials below the largest of all. */
  void weigh(float* weights, size_t tiles) {
    const float shift = this->shift();
    typename Set::Floats sums[vectors];
    for (size_t v = 0; v < vectors; ++v) sums[v] = Set::load(totals_ + v * Set::lanes);
    for (float* tile = weights; tile < weights + tiles * tile_keys; tile += tile_keys) {
      for (size_t i = 0; i < tile_keys; ++i) tile[i] = exponential(tile[i] - shift);
      // By vectors: gcc would keep each total in a register of its own.
      for (size_t v = 0; v < vectors; ++v) {
        sums[v] = Set::multiply_add(Set::load(tile + v * Set::lanes), Set::broadcast(1.0F), sums[v]);
      }
    }
    for (size_t v = 0; v < vectors; ++v) Set::store(totals_ + v * Set::lanes, sums[v]);
  }

  /** Sums -> means; 0 where nothing is visible. */
  void finish(float* output, size_t size, float* log_sum) const {
    float total = 0;
    for (const float lane : totals_) total += lane;
    shrink(output, size, total == 0 ? 0.0F : 1 / total);
    if (log_sum != nullptr) *log_sum = total == 0 ? -INFINITY : largest_ + std::log(total);
  }

  /** Scores -> softcap * tanh(score / softcap), whose e^-x is below 1. */
  static void cap(float* scores, size_t count, float softcap) {
    for (size_t i = 0; i < count; ++i) {
      const float power = exponential(-2 * std::fabs(scores[i]) / softcap);
      scores[i] = std::copysign(softcap * (1 - power) / (1 + power), scores[i]);
    }
  }

  /** Sums of nothing. */
  static void clear(float* output, size_t size) {
    for (size_t i = 0; i < size; ++i) output[i] = 0;
  }

  /** Sums by the factor that `see` gave. */
  static void shrink(float* output, size_t size, float factor) {
    if (factor == 1) return;
    for (size_t i = 0; i < size; ++i) output[i] *= factor;
  }

  /** Fills up a last tile. */
  static void hide_behind(size_t count, size_t size, float* scores) {
    for (size_t j = count; j < size; ++j) scores[j] = -INFINITY;
  }

 private:
  /** Nothing may be visible yet: the difference of two infinities would be no number. */
  float shift() const { return largest_ == -INFINITY ? 0.0F : largest_; }

  /** e^x for x up to 0: 2^n e^r with |r| up to ln(2) / 2, where Taylor's series to r^7 is exact to single precision. */
  static float exponential(float x) {
    constexpr float log2_e = 1.44269504F;
    constexpr float ln_2_high = 0.693359375F;  // few enough bits that its product with n is exact
    constexpr float ln_2_low = -2.12194440e-4F;
    constexpr float smallest = -87.0F;
    // Bounded, because an infinity is no integer; what is below the bound becomes 0 at the end.
    const float n = std::nearbyintf((x > smallest ? x : smallest) * log2_e);
    const float r = (x - n * ln_2_high) - n * ln_2_low;
    const float end = 1.0F / 120 + r * (1.0F / 720 + r * (1.0F / 5040));
    const float series = 1 + r * (1 + r * (1.0F / 2 + r * (1.0F / 6 + r * (1.0F / 24 + r * end))));
    const uint32_t bits = (static_cast<uint32_t>(static_cast<int32_t>(n)) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof(power));
    return x < smallest ? 0.0F : series * power;
  }

  float largest_ = -INFINITY;
  float totals_[tile_keys] = {};  // of each lane
};

}  // namespace tandem::kernels
