#pragma once
#include "engine/engine.h"
#include "sampling/row_edits.h"

namespace tandem {

/** `StepRequest` in src/native/addon.ts; edits in the order of their outputs. */
struct StepRequest {
  size_t candidates = 1;
  bool logits = false;
  std::vector<RowEdit> edits;
};

/** `StepResult` in src/native/addon.ts. */
struct StepResult {
  std::vector<int32_t> ids;
  std::vector<float> scores;
  std::vector<float> log_sum_exp;
  std::vector<float> logits;
};

/** Turns rows of logits into what was asked for, as the engine hands them over. */
class StepCollector : public LogitsReceiver {
 public:
  StepCollector(const StepRequest& request, size_t outputs, size_t vocabulary);

  /** Throws EngineError `compute-failed` when the row holds something that is no number. */
  void receive(size_t output, float* logits) override;
  StepResult take() { return std::move(result_); }

 private:
  const StepRequest& request_;
  size_t vocabulary_;
  StepResult result_;
};

}  // namespace tandem
