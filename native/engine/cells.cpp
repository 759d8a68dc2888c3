#include "engine/cells.h"

#include <string>

#include "engine/error.h"

namespace tandem {

Cells::Cells(size_t capacity) : references_(capacity, 0), free_(capacity) {
  for (size_t i = 0; i < capacity; ++i) free_[i] = static_cast<int32_t>(capacity - 1 - i);
}

Cells::Plan Cells::plan(const StepRows& rows) {
  if (rows.tokens.size() > free_.size()) {
    throw EngineError("context-full", "the step needs " + std::to_string(rows.tokens.size()) + " cells, but only " +
                                          std::to_string(free_.size()) + " of " + std::to_string(capacity()) +
                                          " are free");
  }
  Plan plan;
  for (size_t row = 0; row < rows.size(); ++row) {
    const auto position = static_cast<size_t>(rows.positions[row]);
    std::vector<int32_t> table;
    const auto parent = tables_.find(rows.parents[row]);
    const size_t known = parent == tables_.end() ? 0 : parent->second.size();
    check_position(rows, row, known);
    if (position > 0) table.assign(parent->second.begin(), parent->second.begin() + static_cast<int64_t>(position));
    plan.tables.push_back(std::move(table));
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    for (int32_t i = 0; i < rows.token_counts[row]; ++i) {
      plan.tables[row].push_back(free_.back());
      free_.pop_back();
    }
    for (const int32_t cell : plan.tables[row]) ++references_[static_cast<size_t>(cell)];
  }
  return plan;
}

void Cells::commit(const StepRows& rows, Plan plan) {
  for (size_t row = 0; row < rows.size(); ++row) {
    auto& table = tables_[rows.sequences[row]];
    drop(table);
    table = std::move(plan.tables[row]);
  }
}

void Cells::abandon(const StepRows& rows, const Plan& plan) {
  for (size_t row = 0; row < rows.size(); ++row) drop(plan.tables[row]);
}

void Cells::release(int32_t sequence) {
  const auto found = tables_.find(sequence);
  if (found == tables_.end()) return;
  drop(found->second);
  tables_.erase(found);
}

void Cells::drop(const std::vector<int32_t>& table) {
  for (auto cell = table.rbegin(); cell != table.rend(); ++cell) {
    if (--references_[static_cast<size_t>(*cell)] == 0) free_.push_back(*cell);
  }
}

}  // namespace tandem
