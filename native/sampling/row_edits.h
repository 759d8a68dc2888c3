#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

/** The kinds of `EditKind` in src/native/addon.ts. */
enum class EditKind : int32_t {
  penalize = 0,
  ban = 1,
  keep = 2,
  force = 3,
  add = 4,
  decay = 5,
  remove_invalid = 6,
  log_softmax = 7,
  temperature = 8,
  top_h = 9,
  top_k = 10,
  top_p = 11,
  min_p = 12,
  typical_p = 13,
  epsilon_cutoff = 14,
  eta_cutoff = 15,
};
constexpr int32_t edit_kinds = 16;

/** One change to one row of scores. TypeScript decides on it; `ids` are inside the vocabulary. */
struct RowEdit {
  size_t output;
  EditKind kind;
  double value;
  size_t min_tokens_to_keep;
  std::vector<int32_t> ids;
};

/** Changes `row [size]` in place. */
void apply_edit(const RowEdit& edit, float* row, size_t size);

}  // namespace tandem
