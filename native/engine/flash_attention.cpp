#include "engine/flash_attention.h"

#if defined(__linux__) && defined(__x86_64__)
#include <atomic>
#include <utility>

#include "engine/attender.h"

namespace tandem {

namespace {

thread_local AttentionOfGraphs planned;

}  // namespace

AttentionOfGraphs take_attention_of_graphs() { return std::exchange(planned, {}); }

void note_attention(bool is_ours) { (is_ours ? planned.is_ours : planned.is_ggmls) = true; }

bool FlashAttention::computes(const ggml_tensor* operation) {
  const ggml_tensor* queries = operation->src[0];
  const ggml_tensor* keys = operation->src[1];
  const ggml_tensor* values = operation->src[2];
  const ggml_tensor* mask = operation->src[3];
  const auto is_halves = [](const ggml_tensor* tensor) {
    return tensor->type == GGML_TYPE_F16 && tensor->nb[0] == sizeof(uint16_t) && tensor->ne[3] == 1;
  };
  const int64_t size = queries->ne[0];
  const bool has_heads = size <= static_cast<int64_t>(kernels::max_head_size) &&
                         size % static_cast<int64_t>(kernels::head_size_multiple) == 0 && size == values->ne[0] &&
                         keys->ne[2] == values->ne[2] && keys->nb[1] == values->nb[1];
  return queries->type == GGML_TYPE_F32 && queries->nb[0] == sizeof(float) && queries->ne[3] == 1 && is_halves(keys) &&
         is_halves(values) && has_heads && AttentionProblem(const_cast<ggml_tensor*>(operation)).largest_slope == 0 &&
         (mask == nullptr || (is_halves(mask) && mask->ne[2] == 1));
}

bool FlashAttention::work_size(int threads, const ggml_tensor* operation, size_t& size) {
  const AttentionProblem problem(const_cast<ggml_tensor*>(operation));
  AttentionMemory memory(0);
  memory.take<std::atomic<size_t>>(1);
  memory.take_partial(problem);
  for (int thread = 0; thread < threads; ++thread) memory.take_scratch(problem);
  size = memory.size();
  return true;
}

bool FlashAttention::compute_forward(ggml_compute_params* parameters, ggml_tensor* operation) {
  const AttentionProblem problem(operation);
  AttentionMemory memory(reinterpret_cast<uintptr_t>(parameters->wdata));
  auto* next = memory.take<std::atomic<size_t>>(1);
  const Partial partial = memory.take_partial(problem);
  Scratch scratch = memory.take_scratch(problem);
  for (int thread = 0; thread < parameters->ith; ++thread) scratch = memory.take_scratch(problem);
  const Attender attender(kernel_set_, problem, partial, scratch);
  if (parameters->ith == 0) new (next) std::atomic<size_t>(0);
  barrier_(parameters->threadpool);
  const size_t pieces = attender.pieces();
  for (size_t piece = (*next)++; piece < pieces; piece = (*next)++) attender.attend(piece);
  if (!problem.has_few_tokens()) return true;
  barrier_(parameters->threadpool);
  const auto threads = static_cast<size_t>(parameters->nth);
  for (size_t row = static_cast<size_t>(parameters->ith); row < problem.tokens * problem.heads; row += threads) {
    attender.merge_spans(row / problem.heads, row % problem.heads);
  }
  return true;
}

}  // namespace tandem

#else

namespace tandem {

AttentionOfGraphs take_attention_of_graphs() { return {}; }

}  // namespace tandem

#endif
