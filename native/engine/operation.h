#pragma once
#include <atomic>
#include <memory>

#include "engine/library.h"

namespace tandem {

/** A node of a graph that we compute ourselves, on the threads of ggml's CPU backend. */
class Operation {
 public:
  virtual ~Operation() = default;

  /** ggml's callback; `operation` is an Operation. */
  static void run(ggml_tensor* result, int thread, int threads, void* operation);

 protected:
  /** Pieces of work that threads take until there are none: one that is held up holds up nothing but its piece. */
  virtual int64_t pieces(const ggml_tensor* result, int threads) const = 0;
  /** Must not throw: a thread of ggml's runs it. */
  virtual void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const = 0;
  /** Which of `count` equal parts of the work `piece` begins with. */
  static int64_t share(int64_t count, int64_t piece, int64_t pieces) { return count * piece / pieces; }

 private:
  std::atomic<int64_t> next_{0};
  std::atomic<int> finished_{0};
};

}  // namespace tandem
