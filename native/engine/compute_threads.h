#pragma once
#include <ggml-cpu.h>

#include <cstdint>
#include <memory>

namespace tandem {

/**
 * Threads that compute graphs on the CPU and sleep until the next one. Without them ggml starts threads for every graph and
 * ends them after it, and the system may put a new one onto the core of the thread that it is to help: each then spins until
 * the other has had its turn, for milliseconds at every node.
 */
class ComputeThreads {
 public:
  /**
   * At most `count` with the thread that runs a graph, fewer where the system refuses some; one alone needs no others. Throws
   * EngineError `library-mismatch`.
   */
  explicit ComputeThreads(int32_t count);

  int32_t count() const { return count_; }
  /** Null where the thread that runs a graph is alone. */
  ggml_threadpool_t get() const { return pool_.get(); }
  /** The CPU backend `backend` computes with them from now on; they must outlive it. */
  void serve(ggml_backend_t backend) const;

 private:
  int32_t count_;
  std::unique_ptr<ggml_threadpool, decltype(&ggml_threadpool_free)> pool_;
};

}  // namespace tandem
