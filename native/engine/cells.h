#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace tandem {

/**
 * Which cells of the key and value store belong to which position of which sequence. A cell holds one token of one
 * layer stack; sequences with a common past share its cells, so a new order of beams moves numbers and no keys or values.
 */
class Cells {
 public:
  /** What one step reads and writes: for each token of the step its cell, and for each row its whole table. */
  struct Plan {
    std::vector<std::vector<int32_t>> tables;  // per row: the cell of every position, the step's own included
  };

  explicit Cells(size_t capacity);

  /** Reserves cells for the new tokens. Throws EngineError `context-full` or `invalid-argument`; changes nothing then. */
  Plan plan(const StepRows& rows);
  /** Makes the planned tables the sequences' own. */
  void commit(const StepRows& rows, Plan plan);
  /** Gives the planned new cells back. */
  void abandon(const StepRows& rows, const Plan& plan);
  void release(int32_t sequence);

  size_t capacity() const { return references_.size(); }
  size_t used() const { return references_.size() - free_.size(); }

 private:
  void drop(const std::vector<int32_t>& table);

  std::vector<int32_t> references_;  // how many sequences hold the cell
  std::vector<int32_t> free_;        // taken from the back: low numbers first, so untouched memory stays untouched
  std::unordered_map<int32_t, std::vector<int32_t>> tables_;
};

}  // namespace tandem
