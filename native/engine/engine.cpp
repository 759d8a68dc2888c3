#include "engine/engine.h"

#include <algorithm>

#include "engine/error.h"

namespace tandem {

size_t count_outputs(const StepRows& rows, Output kind) {
  return static_cast<size_t>(
      std::count_if(rows.outputs.begin(), rows.outputs.end(), [=](uint8_t flags) { return (flags & kind) != 0; }));
}

void check_position(const StepRows& rows, size_t row, size_t parent_length) {
  const int32_t position = rows.positions[row];
  if (static_cast<size_t>(position) <= parent_length) return;
  throw EngineError("invalid-argument", "row " + std::to_string(row) + " starts at position " +
                                            std::to_string(position) + ", but its parent has " +
                                            std::to_string(parent_length) + " positions");
}

}  // namespace tandem
