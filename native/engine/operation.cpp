#include "engine/operation.h"

namespace tandem {

void Operation::run(ggml_tensor* result, int, int threads, void* operation) {
  auto& self = *static_cast<Operation*>(operation);
  const int64_t pieces = self.pieces(result, threads);
  for (int64_t piece = self.next_++; piece < pieces; piece = self.next_++) self.compute(result, piece, pieces);
  // The last thread makes it ready for the next run, which begins after a barrier.
  if (++self.finished_ == threads) {
    self.next_ = 0;
    self.finished_ = 0;
  }
}

}  // namespace tandem
