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
  /** Work that threads take piece by piece until there is none: one that is held up holds up nothing but its piece. */
  class Pieces {
   public:
    Pieces(std::atomic<int64_t>& next, int64_t count) : next_(next), count_(count) {}

    int64_t count() const { return count_; }
    /** Calls `compute(piece)` for every piece that this thread gets. */
    template <typename Compute>
    void each(Compute compute) {
      for (int64_t piece = next_++; piece < count_; piece = next_++) compute(piece);
    }

   private:
    std::atomic<int64_t>& next_;
    int64_t count_;
  };

  virtual int64_t pieces(const ggml_tensor* result, int threads) const = 0;
  /** What each thread does. Must not throw: the threads are ggml's. */
  virtual void work(ggml_tensor* result, Pieces pieces) const = 0;
  /** Which of `count` equal parts of the work `piece` begins with. */
  static int64_t share(int64_t count, int64_t piece, int64_t pieces) { return count * piece / pieces; }

 private:
  std::atomic<int64_t> next_{0};
  std::atomic<int> finished_{0};
};

/** One whose pieces have nothing in common. */
class PiecewiseOperation : public Operation {
 protected:
  void work(ggml_tensor* result, Pieces pieces) const override {
    pieces.each([&](int64_t piece) { compute(result, piece, pieces.count()); });
  }
  virtual void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const = 0;
};

}  // namespace tandem
