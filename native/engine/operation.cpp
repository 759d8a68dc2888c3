#include "engine/operation.h"

namespace tandem {

void Operation::run(ggml_tensor* result, int, int threads, void* operation) {
  auto& self = *static_cast<Operation*>(operation);
  self.work(result, {self.next_, self.pieces(result, threads)});
  // The last thread makes it ready for the next run, which begins after a barrier.
  if (++self.finished_ == threads) {
    self.next_ = 0;
    self.finished_ = 0;
  }
}

}  // namespace tandem
