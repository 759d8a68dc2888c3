#include "sampling/candidates.h"

#include <algorithm>

namespace tandem {

bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.row != b.row ? a.row < b.row : a.id < b.id;
}

std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count) {
  // A heap of the best so far with the worst of them on top: almost every score is refused by one comparison.
  std::vector<Candidate> best;
  if (count == 0) return best;
  best.reserve(count);
  for (size_t i = 0; i < size; ++i) {
    const Candidate candidate{static_cast<int32_t>(i), row[i]};
    if (best.size() < count) {
      // False for what is no number as well.
      if (!(candidate.score > banned)) continue;
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

}  // namespace tandem
