#include "sampling/softmax.h"

#include <algorithm>
#include <cmath>

#include "sampling/candidates.h"

namespace tandem {

float log_sum_exp(const float* row, size_t size) {
  const float largest = *std::max_element(row, row + size);
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (size_t i = 0; i < size; ++i) sum += std::exp(row[i] - largest);
  return largest + static_cast<float>(std::log(sum));
}

void log_softmax(float* row, size_t size) {
  const float largest = *std::max_element(row, row + size);
  if (largest == banned) return;
  double sum = 0;
  for (size_t i = 0; i < size; ++i) sum += std::exp(row[i] - largest);
  const auto log_sum = static_cast<float>(std::log(sum));
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
