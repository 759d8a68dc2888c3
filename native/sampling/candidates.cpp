#include "sampling/candidates.h"

#include <algorithm>

namespace tandem {

bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.row != b.row ? a.row < b.row : a.id < b.id;
}

namespace {

/** Whether one of some neighbouring scores is above `score`; what is no number is not. */
bool any_above(const float* scores, size_t count, float score) {
  int32_t above = 0;
  for (size_t i = 0; i < count; ++i) above |= scores[i] > score ? 1 : 0;
  return above != 0;
}

}  // namespace

std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count) {
  // A heap of the best so far with the worst of them on top: almost all scores are refused, many by one comparison.
  constexpr size_t part = 32;
  std::vector<Candidate> best;
  if (count == 0) return best;
  best.reserve(count);
  const auto worst = [&] { return best.size() < count ? banned : best.front().score; };
  for (size_t first = 0; first < size; first += part) {
    const size_t end = std::min(size, first + part);
    if (!any_above(row + first, end - first, worst())) continue;
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
