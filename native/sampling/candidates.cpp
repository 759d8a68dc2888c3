#include "sampling/candidates.h"

#include <algorithm>

#include "sampling/wide_vectors.h"

namespace tandem {

bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.row != b.row ? a.row < b.row : a.id < b.id;
}

namespace {

constexpr size_t part = 32;

/** Whether one of the scores of a part is above `score`; what is no number is not. */
inline bool any_above(const float* scores, float score) {
  int32_t above = 0;
  for (size_t i = 0; i < part; ++i) above |= scores[i] > score ? 1 : 0;
  return above != 0;
}

}  // namespace

TANDEM_WIDE_VECTORS std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count) {
  // A heap of the best so far with the worst of them on top: almost all scores are refused, many by one comparison.
  std::vector<Candidate> best;
  if (count == 0) return best;
  best.reserve(count);
  const auto worst = [&] { return best.size() < count ? banned : best.front().score; };
  for (size_t first = 0; first < size; first += part) {
    const size_t end = std::min(size, first + part);
    if (end - first == part && !any_above(row + first, worst())) continue;
    for (size_t i = first; i < end; ++i) {
      if (!(row[i] > worst())) continue;
      if (best.size() == count) {
        std::pop_heap(best.begin(), best.end(), better);
        best.pop_back();
      }
      best.push_back({static_cast<int32_t>(i), row[i]});
      std::push_heap(best.begin(), best.end(), better);
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

}  // namespace tandem
