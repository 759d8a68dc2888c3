#include "sampling/torch_generator.h"

#include <cmath>

namespace tandem {

float TorchGenerator::exponential() {
  constexpr uint64_t mantissa = (1ULL << 53) - 1;
  const uint64_t high = engine_();
  const uint64_t low = engine_();
  const double uniform = static_cast<double>(((high << 32) | low) & mantissa) / static_cast<double>(mantissa + 1);
  return static_cast<float>(-std::log1p(-uniform));
}

std::vector<Candidate> TorchGenerator::multinomial(const std::vector<float>& probabilities, size_t count) {
  std::vector<float> races(probabilities.size(), -1.0F);
  size_t skipped = 0;
  size_t possible = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    // Almost all are zero after the warpers; their draws count, but nobody needs the logarithm.
    if (!(probabilities[i] > 0)) {
      ++skipped;
      continue;
    }
    discard(skipped);
    skipped = 0;
    ++possible;
    races[i] = probabilities[i] / exponential();
  }
  discard(skipped);
  return best_candidates(races.data(), races.size(), std::min(count, possible));
}

}  // namespace tandem
