#include "sampling/row_edits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/candidates.h"
#include "sampling/softmax.h"
#include "sampling/warpers.h"

namespace tandem {

namespace {

void keep_only(const std::vector<int32_t>& ids, float* row, size_t size) {
  std::vector<float> kept;
  for (const int32_t id : ids) kept.push_back(row[id]);
  std::fill_n(row, size, banned);
  for (size_t i = 0; i < ids.size(); ++i) row[ids[i]] = kept[i];
}

void force(const std::vector<int32_t>& ids, float* row, size_t size) {
  std::fill_n(row, size, banned);
  for (const int32_t id : ids) row[id] = 0;
}

void remove_invalid(float* row, size_t size) {
  constexpr float largest = std::numeric_limits<float>::max();
  for (size_t i = 0; i < size; ++i) {
    if (std::isnan(row[i])) row[i] = 0;
    row[i] = std::clamp(row[i], -largest, largest);
  }
}

void divide(float* row, size_t size, float temperature) {
  for (size_t i = 0; i < size; ++i) row[i] /= temperature;
}

}  // namespace

void apply_edit(const RowEdit& edit, float* row, size_t size) {
  const size_t kept = edit.min_tokens_to_keep;
  const auto value = static_cast<float>(edit.value);
  const auto each = [&](auto change) {
    for (const int32_t id : edit.ids) change(row[id]);
  };
  switch (edit.kind) {
    // Keskar et al. 2019; transformers' RepetitionPenaltyLogitsProcessor.
    case EditKind::penalize: return each([=](float& score) { score = score < 0 ? score * value : score / value; });
    case EditKind::ban: return each([](float& score) { score = banned; });
    case EditKind::keep: return keep_only(edit.ids, row, size);
    case EditKind::force: return force(edit.ids, row, size);
    case EditKind::add: return each([=](float& score) { score += value; });
    case EditKind::decay: return each([=](float& score) { score += std::isfinite(score) ? std::fabs(score) * value : 0; });
    case EditKind::remove_invalid: return remove_invalid(row, size);
    case EditKind::log_softmax: return log_softmax(row, size);
    case EditKind::temperature: return divide(row, size, value);
    case EditKind::top_h: return warp_top_h(row, size, value);
    case EditKind::top_k: return warp_top_k(row, size, std::max(static_cast<size_t>(edit.value), kept));
    case EditKind::top_p: return warp_top_p(row, size, edit.value, kept);
    case EditKind::min_p: return warp_min_p(row, size, value, kept);
    case EditKind::typical_p: return warp_typical_p(row, size, value, kept);
    case EditKind::epsilon_cutoff: return warp_epsilon_cutoff(row, size, value, kept);
    case EditKind::eta_cutoff: return warp_eta_cutoff(row, size, value, kept);
  }
}

}  // namespace tandem
