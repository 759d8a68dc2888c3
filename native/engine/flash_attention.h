#pragma once

namespace tandem {

/** Who computes the fused attention of graphs; nobody where it is not fused. */
struct AttentionOfGraphs {
  bool is_ours = false;   // of some operation
  bool is_ggmls = false;  // of some operation
};

/** That of the graphs which this thread has planned since it asked last. */
AttentionOfGraphs take_attention_of_graphs();

}  // namespace tandem

#if defined(__linux__) && defined(__x86_64__)
#include <ggml-cpu/traits.h>

#include "kernels/kernel_set.h"

namespace tandem {

/**
 * ggml's fused attention over keys and values in half precision (`ggml_flash_attn_ext`), which libllama asks for. A head of
 * keys is read once for all heads of queries that share it (Ainslie et al. 2023, GQA), and cells that nobody sees are left
 * out. Cells are summed up in parts of a fixed size, so the result is the same for any number of threads.
 */
class FlashAttention : public ggml::cpu::tensor_traits {
 public:
  using Barrier = void (*)(ggml_threadpool*);
  FlashAttention(const kernels::KernelSet& kernel_set, Barrier barrier) : kernel_set_(kernel_set), barrier_(barrier) {}

  /** Whether it can compute the operation. */
  static bool computes(const ggml_tensor* operation);

  bool work_size(int threads, const ggml_tensor* operation, size_t& size) override;
  bool compute_forward(ggml_compute_params* parameters, ggml_tensor* operation) override;

 private:
  const kernels::KernelSet& kernel_set_;
  Barrier barrier_;
};

/** Takes note that this thread plans such an operation; those that compute do, too, and nobody asks them. */
void note_attention(bool is_ours);

}  // namespace tandem
#endif
