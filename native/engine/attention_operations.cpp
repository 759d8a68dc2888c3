#include "engine/attention_operations.h"

#include <algorithm>

namespace tandem {

namespace {

float* floats_at(const ggml_tensor* tensor, int64_t column, int64_t row) {
  return reinterpret_cast<float*>(static_cast<char*>(tensor->data) + static_cast<size_t>(row) * tensor->nb[1]) + column;
}

const uint16_t* halves_at(const ggml_tensor* tensor, size_t offset) {
  return static_cast<const uint16_t*>(tensor->data) + offset;
}

size_t row_floats(const ggml_tensor* tensor) { return tensor->nb[1] / sizeof(float); }

}  // namespace

bool has_attention_kernel(const kernels::KernelSet* kernel_set, int64_t head_size, ggml_type kv_type) {
  return kernel_set != nullptr && kv_type == GGML_TYPE_F16 && head_size <= static_cast<int64_t>(kernels::max_head_size) &&
         head_size % static_cast<int64_t>(kernels::head_size_multiple) == 0;
}

int64_t SelfAttention::pieces(const ggml_tensor* result, int) const { return result->ne[1] * heads_; }

void SelfAttention::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const ggml_tensor* queries = result->src[0];
  const ggml_tensor* keys = result->src[1];
  const ggml_tensor* values = result->src[2];
  const ggml_tensor* bias = result->src[4];
  const int64_t token = piece / heads_;
  const int64_t head = piece % heads_;
  const int64_t size = result->ne[0] / heads_;
  const auto slots = static_cast<size_t>(bias->ne[0]);
  kernels::Attention task{};
  task.queries = floats_at(queries, head * size, token);
  task.query_stride = row_floats(queries);
  task.rows = 1;
  task.keys = halves_at(keys, static_cast<size_t>(head * size));
  task.values = halves_at(values, static_cast<size_t>(head * size));
  task.cell_stride = keys->nb[1] / sizeof(uint16_t);
  task.head_size = static_cast<size_t>(size);
  task.cells = static_cast<const int32_t*>(result->src[3]->data) + static_cast<size_t>(token) * slots;
  task.count = slots;
  task.bias = static_cast<const float*>(bias->data) + static_cast<size_t>(token * heads_ + head) * slots;
  task.output = floats_at(result, head * size, token);
  task.output_stride = row_floats(result);
  kernel_set_.attend(task);
}

CrossAttentionOverSources::CrossAttentionOverSources(const kernels::KernelSet& kernel_set,
                                                     const std::vector<Columns>& sources)
    : kernel_set_(kernel_set), heads_(sources.front().keys->ne[2]) {
  constexpr auto most = static_cast<int64_t>(kernels::max_attention_rows);
  for (const auto& source : sources) {
    for (int64_t first = 0; first < source.count; first += most) {
      groups_.push_back({source.first + first, std::min(most, source.count - first), source.keys, source.values,
                         source.mask});
    }
  }
}

int64_t CrossAttentionOverSources::pieces(const ggml_tensor*, int) const {
  return static_cast<int64_t>(groups_.size()) * heads_;
}

void CrossAttentionOverSources::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const ggml_tensor* queries = result->src[0];
  const Columns& group = groups_[static_cast<size_t>(piece / heads_)];
  const int64_t head = piece % heads_;
  const auto size = static_cast<size_t>(group.keys->ne[0]);
  const auto length = static_cast<size_t>(group.keys->ne[1]);
  const size_t offset = static_cast<size_t>(head) * length * size;
  kernels::Attention task{};
  task.queries = floats_at(queries, head * group.keys->ne[0], group.first);
  task.query_stride = row_floats(queries);
  task.rows = static_cast<size_t>(group.count);
  task.keys = halves_at(group.keys, offset);
  task.values = halves_at(group.values, offset);
  task.cell_stride = size;
  task.head_size = size;
  task.count = length;
  task.bias = group.mask;
  task.output = floats_at(result, head * group.keys->ne[0], group.first);
  task.output_stride = row_floats(result);
  kernel_set_.attend(task);
}

}  // namespace tandem
