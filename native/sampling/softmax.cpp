#include "sampling/softmax.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "sampling/candidates.h"
#include "sampling/wide_vectors.h"

namespace tandem {

namespace {

/**
 * e^x for x up to 0, to single precision: 2^n e^r with |r| up to ln(2) / 2 and Taylor's series; below e^-87 it stays what it
 * is there, which is nothing beside e^0. No call, no branch and no conversion, so that compilers compute several at once: a
 * row has a hundred thousand scores.
 */
inline float exponential(float x) {
  constexpr float log2_e = 1.44269504F;
  constexpr float ln_2_high = 0.693359375F;  // few enough bits that its product with n is exact
  constexpr float ln_2_low = -2.12194440e-4F;
  constexpr float smallest = -87.0F;
  constexpr float rounding = 12582912.0F;          // 1.5 * 2^23: what is added to it keeps no fraction
  const float bounded = x < smallest ? smallest : x;  // what is no number stays so
  const float rounded = bounded * log2_e + rounding;
  const float n = rounded - rounding;
  const float r = (bounded - n * ln_2_high) - n * ln_2_low;
  const float end = 1.0F / 120 + r * (1.0F / 720 + r * (1.0F / 5040));
  const float series = 1 + r * (1 + r * (1.0F / 2 + r * (1.0F / 6 + r * (1.0F / 24 + r * end))));
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  bits = (bits + 127) << 23;  // the last bits of `rounded` are n
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return series * power;
}

/** Not `std::max_element`, which compares one by one; what is no number is passed over. */
TANDEM_WIDE_VECTORS float largest_of(const float* row, size_t size) {
  constexpr size_t lanes = 32;  // several vectors, since one would wait for itself
  float largest[lanes];
  std::fill(largest, largest + lanes, banned);
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (size_t lane = 0; lane < lanes; ++lane) {
      const float score = row[i + lane];
      largest[lane] = score > largest[lane] ? score : largest[lane];
    }
  }
  for (; i < size; ++i) largest[0] = std::max(largest[0], row[i]);
  return *std::max_element(largest, largest + lanes);
}

TANDEM_WIDE_VECTORS double sum_of_exponentials(const float* row, size_t size, float largest) {
  constexpr size_t part = 256;
  constexpr size_t lanes = 8;
  double sums[lanes] = {};
  float powers[part];
  const auto add_powers = [&] {
    for (size_t i = 0; i < part; i += lanes) {
      for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += powers[i + lane];
    }
  };
  size_t first = 0;
  for (; first + part <= size; first += part) {
    for (size_t i = 0; i < part; ++i) powers[i] = exponential(row[first + i] - largest);
    add_powers();
  }
  std::fill(powers, powers + part, 0.0F);
  for (size_t i = 0; first + i < size; ++i) powers[i] = exponential(row[first + i] - largest);
  add_powers();
  return std::accumulate(sums, sums + lanes, 0.0);
}

}  // namespace

float log_sum_exp(const float* row, size_t size) {
  const float largest = largest_of(row, size);
  if (!std::isfinite(largest)) return largest;
  return largest + static_cast<float>(std::log(sum_of_exponentials(row, size, largest)));
}

TANDEM_WIDE_VECTORS void log_softmax(float* row, size_t size) {
  const float largest = largest_of(row, size);
  if (largest == banned) return;
  const auto log_sum = static_cast<float>(std::log(sum_of_exponentials(row, size, largest)));
  for (size_t i = 0; i < size; ++i) row[i] = row[i] - largest - log_sum;
}

std::vector<float> softmax(const std::vector<float>& scores) {
  std::vector<float> probabilities(scores.size(), 0.0F);
  if (scores.empty()) return probabilities;
  const float largest = *std::max_element(scores.begin(), scores.end());
  if (std::isinf(largest)) return probabilities;
  double sum = 0;
  for (size_t i = 0; i < scores.size(); ++i) sum += probabilities[i] = std::exp(scores[i] - largest);
  const auto total = static_cast<float>(sum);
  for (float& probability : probabilities) probability /= total;
  return probabilities;
}

}  // namespace tandem
