#include "sampling/step_collector.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "sampling/candidates.h"

namespace tandem {

StepCollector::StepCollector(const StepRequest& request, size_t outputs, size_t vocabulary)
    : request_(request), vocabulary_(vocabulary) {
  result_.ids.resize(outputs * request.candidates);
  result_.scores.resize(outputs * request.candidates);
  result_.log_sum_exp.resize(outputs);
  if (request.logits) result_.logits.resize(outputs * vocabulary);
}

void StepCollector::receive(size_t output, float* logits) {
  for (const auto& edit : request_.edits) {
    if (edit.output == output) apply_edit(edit, logits);
  }
  const float total = log_sum_exp(logits, vocabulary_);
  if (std::isnan(total)) throw EngineError("compute-failed", "the model computed values that are not numbers");
  result_.log_sum_exp[output] = total;
  const auto best = best_candidates(logits, vocabulary_, request_.candidates);
  for (size_t i = 0; i < best.size(); ++i) {
    result_.ids[output * request_.candidates + i] = best[i].id;
    result_.scores[output * request_.candidates + i] = best[i].score;
  }
  if (request_.logits) {
    std::copy_n(logits, vocabulary_, result_.logits.begin() + static_cast<std::ptrdiff_t>(output * vocabulary_));
  }
}

}  // namespace tandem
