#pragma once
#include <mutex>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/operation.h"

namespace tandem {

/** Who gets the distributions of a step. */
struct DistributionTargets {
  OutputReceiver* receiver = nullptr;
  std::vector<int64_t> numbers;  // of each column's distribution, -1 where none is wanted

  void receive(size_t column, float* logits) const {
    if (numbers[column] >= 0) receiver->receive(static_cast<size_t>(numbers[column]), logits);
  }
};

/**
 * Hands the columns of `logits [vocabulary, n]`, the one argument, to the targets: what is done with a distribution costs as much
 * as a layer, and the threads of the graph are awake.
 */
class HandOut : public PiecewiseOperation {
 public:
  explicit HandOut(const DistributionTargets& targets) : targets_(targets) {}

  /** What a target threw since the last time. */
  std::optional<Failure> take_failure();

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const DistributionTargets& targets_;
  mutable std::mutex mutex_;
  mutable std::optional<Failure> failure_;
};

}  // namespace tandem
