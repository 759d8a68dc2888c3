#pragma once
#include <atomic>
#include <chrono>
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
 * Hands the columns of `logits [vocabulary, n]`, the one argument, to the targets: what is done with a distribution costs as
 * much as a layer, and the threads of the graph are awake.
 */
class HandOut : public PiecewiseOperation {
 public:
  using Clock = std::chrono::steady_clock;
  explicit HandOut(const DistributionTargets& targets) : targets_(targets) {}

  /** When the model had been computed. */
  Clock::time_point begin() const { return Clock::time_point(Clock::duration(begin_.load())); }
  /** Throws what a target threw; made ready for the next run. */
  void finish();

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void work(ggml_tensor* result, Pieces pieces) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const DistributionTargets& targets_;
  mutable std::atomic<Clock::rep> begin_{0};  // 0 before the first thread
  mutable std::mutex mutex_;
  mutable std::optional<Failure> failure_;
};

}  // namespace tandem
