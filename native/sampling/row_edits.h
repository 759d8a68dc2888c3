#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

/** The kinds of `EditKind` in src/native/addon.ts. */
enum class EditKind : int32_t { penalize = 0, ban = 1 };
constexpr int32_t edit_kinds = 2;

/** One change to one row of logits. TypeScript decides on it; `ids` are distinct and inside the vocabulary. */
struct RowEdit {
  size_t output;
  EditKind kind;
  float value;
  std::vector<int32_t> ids;
};

/** Changes `row` in place. */
void apply_edit(const RowEdit& edit, float* row);

}  // namespace tandem
