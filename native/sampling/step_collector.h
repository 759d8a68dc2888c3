#pragma once
#include <atomic>
#include <memory>
#include <optional>

#include "engine/engine.h"
#include "sampling/candidates.h"
#include "sampling/row_edits.h"
#include "sampling/torch_generator.h"

namespace tandem {

/** `StepDraw` in src/native/addon.ts. */
struct StepDraw {
  std::shared_ptr<TorchGenerator> generator;
  std::vector<int32_t> rows;  // per output, its row in the matrix of draws; ascending
  size_t matrix_rows = 0;
};

/** `StepRequest` in src/native/addon.ts; edits in the order of their outputs. */
struct StepRequest {
  size_t candidates = 1;
  bool logits = false;
  std::vector<RowEdit> edits;
  std::vector<float> beam_scores;  // one per output, or empty
  std::optional<StepDraw> draw;
};

/** `StepResult` in src/native/addon.ts. */
struct StepResult {
  std::vector<int32_t> ids;
  std::vector<float> scores;
  std::vector<int32_t> beams;
  std::vector<int32_t> counts;
  std::vector<float> log_sum_exp;
  std::vector<float> logits;
  std::vector<float> hidden_states;
};

/** What a step asks of its rows and what it gets: turns rows into candidates as the engine hands them over. */
class StepCollector : public OutputReceiver {
 public:
  StepCollector(const StepRequest& request, size_t outputs, size_t vocabulary);

  /** A row that a model has computed. Throws EngineError `compute-failed` when it is not finite, unless an edit mends that. */
  void receive(size_t output, float* logits) override;
  /** A row from anywhere. Throws EngineError `compute-failed` when the edits leave something that is no number. */
  void consider(size_t output, float* logits);
  void receive_hidden_state(size_t place, const float* state, size_t size) override;
  /** Call once, after the last row. */
  StepResult take();

 private:
  bool competes() const { return !request_.beam_scores.empty(); }
  /**
   * As transformers 5.23: what a caller allows is forced where the rules before it ban all of it, but as long as one
   * beam has something left, the others are given up.
   */
  void apply(const RowEdit& edit, float* row);
  void force_what_is_allowed();
  std::vector<Candidate> draw_from_pool();
  std::vector<Candidate> draw_from_row(size_t output);
  void advance_to(size_t matrix_row);
  void add_group(const std::vector<Candidate>& candidates);

  const StepRequest& request_;
  size_t vocabulary_;
  std::atomic<size_t> dead_rows_{0};                  // of which nothing is left that the caller allows
  bool forces_ = false;
  size_t matrix_row_ = 0;                             // of the draws, how many rows have been gone past
  std::vector<std::vector<Candidate>> ranked_;        // per output, unless they are drawn
  std::vector<std::vector<float>> rows_;              // per output, whole and edited, when they are drawn
  StepResult result_;
};

}  // namespace tandem
