#include "sampling/warpers.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sampling/candidates.h"
#include "sampling/softmax.h"

namespace tandem {

namespace {

/** The tokens of a row that no earlier rule has banned, in the order of their ids, with their probabilities. */
struct Survivors {
  std::vector<size_t> ids;
  std::vector<float> scores;
  std::vector<float> probabilities;

  Survivors(const float* row, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      if (row[i] == banned) continue;
      ids.push_back(i);
      scores.push_back(row[i]);
    }
    probabilities = softmax(scores);
  }
  size_t size() const { return ids.size(); }

  /** Shannon entropy in nats; a probability of zero adds nothing. */
  float entropy() const {
    double sum = 0;
    for (const float p : probabilities) sum -= p > 0 ? p * std::log(p) : 0;
    return static_cast<float>(sum);
  }

  /** Places in this list, ordered by `keys`, the smallest first; equal ones keep the order of their ids. */
  std::vector<size_t> ascending(const std::vector<float>& keys) const {
    std::vector<size_t> order(size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
    return order;
  }
};

/** The score of the `count`-th best; minus infinity when there are not that many. */
float worst_of_best(const float* row, size_t size, size_t count) {
  const auto best = best_candidates(row, size, std::min(count, size));
  return best.size() < std::min(count, size) || best.empty() ? banned : best.back().score;
}

void ban_improbable(float* row, size_t size, size_t kept, const Survivors& survivors, float bound) {
  const float safe = worst_of_best(row, size, kept);
  for (size_t i = 0; i < survivors.size(); ++i) {
    if (survivors.probabilities[i] < bound && survivors.scores[i] < safe) row[survivors.ids[i]] = banned;
  }
}

}  // namespace

void warp_top_k(float* row, size_t size, size_t count) {
  const float bound = worst_of_best(row, size, count);
  for (size_t i = 0; i < size; ++i) {
    if (row[i] < bound) row[i] = banned;
  }
}

void warp_top_p(float* row, size_t size, double top_p, size_t kept) {
  const Survivors survivors(row, size);
  const auto order = survivors.ascending(survivors.scores);
  const auto bound = static_cast<float>(1.0 - top_p);
  double mass = 0;
  for (size_t i = 0; i + kept < order.size(); ++i) {
    mass += survivors.probabilities[order[i]];
    if (static_cast<float>(mass) > bound) return;
    row[survivors.ids[order[i]]] = banned;
  }
}

void warp_min_p(float* row, size_t size, float min_p, size_t kept) {
  const Survivors survivors(row, size);
  const auto order = survivors.ascending(survivors.probabilities);
  if (order.empty()) return;
  const float bound = min_p * survivors.probabilities[order.back()];
  for (size_t i = 0; i + kept < order.size(); ++i) {
    if (survivors.probabilities[order[i]] < bound) row[survivors.ids[order[i]]] = banned;
  }
}

void warp_typical_p(float* row, size_t size, float mass, size_t kept) {
  const Survivors survivors(row, size);
  if (survivors.size() == 0) return;
  const float entropy = survivors.entropy();
  const float total = log_sum_exp(survivors.scores.data(), survivors.size());
  std::vector<float> distances;
  for (const float score : survivors.scores) distances.push_back(std::fabs((total - score) - entropy));
  const auto order = survivors.ascending(distances);
  double sum = 0;
  size_t last = 0;
  while (last < order.size() && static_cast<float>(sum += survivors.probabilities[order[last]]) < mass) ++last;
  if (last >= order.size()) return;
  for (size_t i = kept; i < order.size(); ++i) {
    if (distances[order[i]] > distances[order[last]]) row[survivors.ids[order[i]]] = banned;
  }
}

void warp_epsilon_cutoff(float* row, size_t size, float epsilon, size_t kept) {
  ban_improbable(row, size, kept, Survivors(row, size), epsilon);
}

void warp_eta_cutoff(float* row, size_t size, float epsilon, size_t kept) {
  const Survivors survivors(row, size);
  const float bound = std::min(epsilon, std::sqrt(epsilon) * std::exp(-survivors.entropy()));
  ban_improbable(row, size, kept, survivors, bound);
}

void warp_top_h(float* row, size_t size, float top_h) {
  constexpr size_t considered = 100;  // transformers' TopHLogitsWarper.top_n
  const auto best = best_candidates(row, size, considered);
  std::vector<float> scores;
  for (const auto& candidate : best) scores.push_back(candidate.score);
  const auto probabilities = softmax(scores);
  const auto entropy_of = [](float p) { return p > 0 ? -p * std::log(p) : 0.0F; };
  double entropy = 0;
  for (const float p : probabilities) entropy += entropy_of(p);
  const float bound = static_cast<float>(entropy) * top_h;
  std::fill_n(row, size, banned);
  double sum = 0;
  for (size_t i = 0; i < best.size(); ++i) {
    sum += entropy_of(probabilities[i]);
    // A probability that underflows makes the reference's sum no number, which is below nothing.
    const bool counts = probabilities[i] > 0 && static_cast<float>(sum) <= bound;
    if (i == 0 || counts) row[best[i].id] = best[i].score;
  }
}

}  // namespace tandem
