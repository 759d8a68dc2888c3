#pragma once
#include "engine/attention_memory.h"
#include "engine/attention_problem.h"

namespace tandem {

/**
 * One thread's share of a fused attention. Few tokens: `attend` every piece and, once all threads have, `merge_spans` for every
 * row. More of them: the pieces are all there is.
 */
class Attender {
 public:
  Attender(const kernels::KernelSet& kernel_set, const AttentionProblem& problem, const Partial& partial,
           const Scratch& scratch)
      : kernel_set_(kernel_set), problem_(problem), partial_(partial), scratch_(scratch) {}

  size_t pieces() const;
  void attend(size_t piece) const;
  /** The spans of one row of few tokens. */
  void merge_spans(size_t token, size_t head) const;

 private:
  /** One head of some tokens. */
  struct Rows {
    size_t first;
    size_t tokens;
    size_t head;
  };

  size_t cells_of(size_t part) const { return std::min(part_cells, problem_.cells - part * part_cells); }
  size_t read_mask(size_t part, size_t token, float* bias) const;
  void pack(size_t key_head, size_t count) const;
  kernels::Attention task_over(size_t count) const;
  void attend_span(size_t span, size_t token, size_t key_head) const;
  size_t list_seen(size_t part, size_t count, const float* largest, size_t rows) const;
  void attend_tiles(size_t token, size_t key_head, size_t count, size_t row) const;
  void attend_cells(size_t token, size_t key_head, size_t count, size_t row) const;
  void add_to_partial(size_t row, size_t computed) const;
  void attend_group(size_t group, size_t key_head) const;
  size_t read_masks(size_t part, size_t first, size_t tokens) const;
  void add_part(const Rows& rows, size_t count, float* totals) const;

  const kernels::KernelSet& kernel_set_;
  const AttentionProblem& problem_;
  const Partial& partial_;
  const Scratch& scratch_;
};

}  // namespace tandem
