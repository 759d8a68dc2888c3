#include "sampling/candidates.h"

#include <algorithm>
#include <cmath>

namespace tandem {

namespace {

bool better(const Candidate& a, const Candidate& b) { return a.score > b.score || (a.score == b.score && a.id < b.id); }

}  // namespace

std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count) {
  // A heap of the best so far with the worst of them on top: almost every score is refused by one comparison.
  std::vector<Candidate> best;
  best.reserve(count);
  for (size_t i = 0; i < size; ++i) {
    const Candidate candidate{static_cast<int32_t>(i), row[i]};
    if (best.size() < count) {
      best.push_back(candidate);
      std::push_heap(best.begin(), best.end(), better);
    } else if (candidate.score > best.front().score) {
      std::pop_heap(best.begin(), best.end(), better);
      best.back() = candidate;
      std::push_heap(best.begin(), best.end(), better);
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

float log_sum_exp(const float* row, size_t size) {
  const float largest = *std::max_element(row, row + size);
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (size_t i = 0; i < size; ++i) sum += std::exp(row[i] - largest);
  return largest + static_cast<float>(std::log(sum));
}

}  // namespace tandem
