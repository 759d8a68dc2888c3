#include "sampling/row_edits.h"

#include <limits>

namespace tandem {

void apply_edit(const RowEdit& edit, float* row) {
  for (const int32_t id : edit.ids) {
    float& score = row[id];
    switch (edit.kind) {
      // Keskar et al. 2019; transformers' RepetitionPenaltyLogitsProcessor.
      case EditKind::penalize: score = score < 0 ? score * edit.value : score / edit.value; break;
      case EditKind::ban: score = -std::numeric_limits<float>::infinity(); break;
    }
  }
}

}  // namespace tandem
