#include "engine/hand_out.h"

#include <utility>

namespace tandem {

std::optional<Failure> HandOut::take_failure() { return std::exchange(failure_, std::nullopt); }

int64_t HandOut::pieces(const ggml_tensor* result, int) const { return result->src[0]->ne[1]; }

void HandOut::compute(ggml_tensor* result, int64_t column, int64_t) const {
  const ggml_tensor* logits = result->src[0];
  auto* scores = reinterpret_cast<float*>(static_cast<std::byte*>(logits->data) + static_cast<size_t>(column) * logits->nb[1]);
  auto failure = attempt([&] { targets_.receive(static_cast<size_t>(column), scores); });
  if (!failure) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

}  // namespace tandem
