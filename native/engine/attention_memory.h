#pragma once
#include "engine/attention_problem.h"

namespace tandem {

/** What threads leave for each other: outputs `[spans, tokens, heads, size]` of few tokens and the logarithms of their sums. */
struct Partial {
  float* outputs;
  float* log_sums;

  static size_t rows(const AttentionProblem& problem) {
    return problem.has_few_tokens() ? problem.spans() * problem.tokens * problem.heads : 0;
  }
  static size_t row(const AttentionProblem& problem, size_t span, size_t token, size_t head) {
    return (span * problem.tokens + token) * problem.heads + head;
  }
};

/** A thread's own memory. */
struct Scratch {
  uint16_t* tiles;   // of the keys of a part
  uint16_t* values;  // of its cells, side by side
  int32_t* cells;    // of a part, those that are seen
  float* bias;       // [tokens of a group][part_cells]
  float* largest;    // [part_cells] bias of all of them
  float* outputs;    // [tokens of a group][size]
  float* log_sums;   // [tokens of a group]
  float* totals;     // [heads that share keys][tokens of a group] logarithms of sums over all parts
};

/** The work memory of an operation: its parts, one behind the other. */
class AttentionMemory {
 public:
  /** From that address on; from 0 on to find out how much is needed. */
  explicit AttentionMemory(uintptr_t begin) : begin_(begin), end_(begin) {}

  template <typename Value>
  Value* take(size_t count) {
    const uintptr_t place = end_;
    end_ += parts_of(count * sizeof(Value), kernels::cache_line) * kernels::cache_line;
    return reinterpret_cast<Value*>(place);
  }
  Partial take_partial(const AttentionProblem& problem) {
    const size_t rows = Partial::rows(problem);
    return {take<float>(rows * problem.size), take<float>(rows)};
  }
  Scratch take_scratch(const AttentionProblem& problem) {
    const size_t halves = part_cells * problem.size;
    return {take<uint16_t>(halves),
            take<uint16_t>(halves),
            take<int32_t>(part_cells),
            take<float>(group_tokens * part_cells),
            take<float>(part_cells),
            take<float>(group_tokens * problem.size),
            take<float>(group_tokens),
            take<float>(problem.shared_by() * group_tokens)};
  }
  size_t size() const { return end_ - begin_; }

 private:
  uintptr_t begin_;
  uintptr_t end_;
};

}  // namespace tandem
