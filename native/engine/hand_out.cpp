#include "engine/hand_out.h"

#include <utility>

#include "engine/tensor_rows.h"

namespace tandem {

void HandOut::finish() {
  begin_ = 0;
  const auto failure = std::exchange(failure_, std::nullopt);
  if (failure) throw EngineError(failure->code, failure->message);
}

int64_t HandOut::pieces(const ggml_tensor* result, int) const { return result->src[0]->ne[1]; }

void HandOut::work(ggml_tensor* result, Pieces pieces) const {
  Clock::rep none = 0;
  begin_.compare_exchange_strong(none, Clock::now().time_since_epoch().count());
  PiecewiseOperation::work(result, pieces);
}

void HandOut::compute(ggml_tensor* result, int64_t column, int64_t) const {
  auto failure = attempt([&] { targets_.receive(static_cast<size_t>(column), floats_at(result->src[0], column)); });
  if (!failure) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

}  // namespace tandem
