#include "sampling/step_collector.h"

#include <algorithm>
#include <limits>

#include "engine/error.h"
#include "sampling/softmax.h"
#include "sampling/wide_vectors.h"

namespace tandem {

namespace {

/** Looks at every score, and so at several at once, where a search for the first that is not so takes one by one. */
template <typename Predicate>
inline bool all_scores(const float* row, size_t size, Predicate is_so) {
  int32_t others = 0;
  for (size_t i = 0; i < size; ++i) others |= is_so(row[i]) ? 0 : 1;
  return others == 0;
}

TANDEM_WIDE_VECTORS bool are_numbers(const float* row, size_t size) {
  return all_scores(row, size, [](float score) { return score == score; });
}

TANDEM_WIDE_VECTORS bool are_below_infinity(const float* row, size_t size) {
  return all_scores(row, size, [](float score) { return score < std::numeric_limits<float>::infinity(); });
}

TANDEM_WIDE_VECTORS void add_to_all(float* row, size_t size, float value) {
  for (size_t i = 0; i < size; ++i) row[i] += value;
}

void require_numbers(const float* row, size_t size) {
  if (are_numbers(row, size)) return;
  throw EngineError("compute-failed", "some scores are no numbers, by the weights or by what the options make of them");
}

}  // namespace

StepCollector::StepCollector(const StepRequest& request, size_t outputs, size_t vocabulary)
    : request_(request), vocabulary_(vocabulary), ranked_(outputs), rows_(request.draw ? outputs : 0) {
  result_.log_sum_exp.resize(outputs);
  if (request.logits) result_.logits.resize(outputs * vocabulary);
}

void StepCollector::apply(const RowEdit& edit, float* row) {
  // A filter would drop what is no number, after it has counted it.
  if (edit.kind >= EditKind::temperature) require_numbers(row, vocabulary_);
  apply_edit(edit, row, vocabulary_);
  if (edit.kind != EditKind::keep) return;
  const bool is_dead = std::all_of(edit.ids.begin(), edit.ids.end(), [=](int32_t id) { return row[id] == banned; });
  if (is_dead) ++dead_rows_;
  if (forces_ || (is_dead && !competes())) apply_edit({edit.output, EditKind::force, 0, 0, edit.ids}, row, vocabulary_);
}

void StepCollector::receive(size_t output, float* logits) {
  const bool is_mended = std::any_of(request_.edits.begin(), request_.edits.end(), [=](const RowEdit& edit) {
    return edit.output == output && edit.kind == EditKind::remove_invalid;
  });
  // Broken weights may overflow to infinity instead of becoming no number: a kernel may lose a NaN when it quantises.
  if (!is_mended && !are_below_infinity(logits, vocabulary_)) {
    throw EngineError("compute-failed", "the model computed values that are no numbers, or infinite");
  }
  consider(output, logits);
}

void StepCollector::consider(size_t output, float* logits) {
  for (const auto& edit : request_.edits) {
    if (edit.output == output) apply(edit, logits);
  }
  require_numbers(logits, vocabulary_);
  // Rows that compete are compared by their scores alone.
  if (!competes()) result_.log_sum_exp[output] = log_sum_exp(logits, vocabulary_);
  if (request_.logits) {
    std::copy_n(logits, vocabulary_, result_.logits.begin() + static_cast<std::ptrdiff_t>(output * vocabulary_));
  }
  if (competes()) add_to_all(logits, vocabulary_, request_.beam_scores[output]);
  if (request_.draw) {
    rows_[output].assign(logits, logits + vocabulary_);
  } else {
    ranked_[output] = best_candidates(logits, vocabulary_, request_.candidates);
  }
}

void StepCollector::receive_hidden_state(size_t place, const float* state, size_t size) {
  if (result_.hidden_states.size() < (place + 1) * size) result_.hidden_states.resize((place + 1) * size);
  std::copy_n(state, size, result_.hidden_states.begin() + static_cast<std::ptrdiff_t>(place * size));
}

void StepCollector::advance_to(size_t matrix_row) {
  request_.draw->generator->discard((matrix_row - matrix_row_) * vocabulary_);
  matrix_row_ = matrix_row;
}

/** Every row is a distribution of its own. */
std::vector<Candidate> StepCollector::draw_from_row(size_t output) {
  advance_to(static_cast<size_t>(request_.draw->rows[output]));
  auto drawn = request_.draw->generator->multinomial(softmax(rows_[output]), request_.candidates);
  ++matrix_row_;
  for (auto& candidate : drawn) candidate.score = rows_[output][static_cast<size_t>(candidate.id)];
  return drawn;
}

/** All rows together are one distribution; rows that no hypothesis holds have no probability, but take their draws. */
std::vector<Candidate> StepCollector::draw_from_pool() {
  const size_t first = static_cast<size_t>(request_.draw->rows.front());
  advance_to(first);
  std::vector<float> pool;
  for (const auto& row : rows_) pool.insert(pool.end(), row.begin(), row.end());
  auto drawn = request_.draw->generator->multinomial(softmax(pool), request_.candidates);
  matrix_row_ += rows_.size();
  for (auto& candidate : drawn) {
    const auto place = static_cast<size_t>(candidate.id);
    candidate = {static_cast<int32_t>(place % vocabulary_), pool[place], static_cast<int32_t>(place / vocabulary_)};
  }
  return drawn;
}

void StepCollector::add_group(const std::vector<Candidate>& candidates) {
  result_.counts.push_back(static_cast<int32_t>(candidates.size()));
  for (const auto& candidate : candidates) {
    result_.ids.push_back(candidate.id);
    result_.scores.push_back(candidate.score);
    result_.beams.push_back(candidate.row);
  }
}

/** Rows with a forced token owe nothing to what was computed, so they are made anew. */
void StepCollector::force_what_is_allowed() {
  forces_ = true;
  std::vector<float> row(vocabulary_);
  for (size_t output = 0; output < ranked_.size(); ++output) {
    std::fill(row.begin(), row.end(), 0.0F);
    consider(output, row.data());
  }
}

StepResult StepCollector::take() {
  if (competes() && dead_rows_ == ranked_.size()) force_what_is_allowed();
  if (competes() && request_.draw) {
    add_group(draw_from_pool());
  } else if (competes()) {
    std::vector<Candidate> all;
    for (size_t row = 0; row < ranked_.size(); ++row) {
      for (const auto& candidate : ranked_[row]) {
        all.push_back({candidate.id, candidate.score, static_cast<int32_t>(row)});
      }
    }
    std::sort(all.begin(), all.end(), better);
    if (all.size() > request_.candidates) all.resize(request_.candidates);
    add_group(all);
  } else {
    for (size_t row = 0; row < ranked_.size(); ++row) add_group(request_.draw ? draw_from_row(row) : ranked_[row]);
  }
  if (request_.draw) advance_to(request_.draw->matrix_rows);
  return std::move(result_);
}

}  // namespace tandem
