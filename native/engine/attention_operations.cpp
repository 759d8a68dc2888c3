#include "engine/attention_operations.h"

#include <algorithm>
#include <vector>

#include "engine/tensor_rows.h"

namespace tandem {

namespace {

const uint16_t* halves_at(const ggml_tensor* tensor, size_t offset) {
  return static_cast<const uint16_t*>(tensor->data) + offset;
}

size_t row_floats(const ggml_tensor* tensor) { return tensor->nb[1] / sizeof(float); }

/** Pieces of cross-attention to one source for each thread: few, so that it goes on where it has fetched ahead. */
constexpr int64_t pieces_per_thread = 3;

constexpr auto most_rows = static_cast<int64_t>(kernels::max_attention_rows);

/** One head of keys in tiles and of values `[size, n, heads]`. */
struct Seen {
  const ggml_tensor* keys;
  const ggml_tensor* values;
  int64_t head;
};

kernels::Attention attention_over(const Seen& seen) {
  const auto size = static_cast<size_t>(seen.values->ne[0]);
  const auto count = static_cast<size_t>(seen.values->ne[1]);
  const auto head = static_cast<size_t>(seen.head);
  kernels::Attention task{};
  task.keys = halves_at(seen.keys, head * kernels::key_tiles_size(count, size));
  task.values = halves_at(seen.values, head * count * size);
  task.head_size = size;
  task.count = count;
  return task;
}

}  // namespace

bool has_attention_kernel(const kernels::KernelSet* kernel_set, int64_t head_size, ggml_type kv_type) {
  return kernel_set != nullptr && kv_type == GGML_TYPE_F16 && head_size <= static_cast<int64_t>(kernels::max_head_size) &&
         head_size % static_cast<int64_t>(kernels::head_size_multiple) == 0;
}

int64_t KeyTiles::pieces(const ggml_tensor*, int) const { return heads_; }

void KeyTiles::compute(ggml_tensor* result, int64_t head, int64_t) const {
  const ggml_tensor* keys = result->src[1];
  const int64_t n = keys->ne[1];
  const int64_t size = keys->ne[0] / heads_;
  const auto head_halves = kernels::key_tiles_size(static_cast<size_t>(n), static_cast<size_t>(size));
  auto* halves = static_cast<uint16_t*>(result->data) + static_cast<size_t>(head) * head_halves;
  const auto tile = static_cast<int64_t>(kernels::tile_keys);
  float turned[kernels::tile_keys * kernels::max_head_size];
  const size_t turned_size = kernels::tile_keys * static_cast<size_t>(size);
  for (int64_t first = 0; first < n; first += tile) {
    std::fill_n(turned, turned_size, 0.0F);
    for (int64_t key = first; key < std::min(n, first + tile); ++key) {
      const float* values = floats_at(keys, key, head * size);
      for (int64_t i = 0; i < size; ++i) turned[static_cast<size_t>(i * tile + key - first)] = values[i];
    }
    kernel_set_.to_halves(turned, turned_size, halves + first * size);
  }
}

int64_t ValueHeads::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void ValueHeads::compute(ggml_tensor* result, int64_t token, int64_t) const {
  const int64_t size = result->ne[0];
  for (int64_t head = 0; head < result->ne[2]; ++head) {
    auto* halves = static_cast<uint16_t*>(result->data) + (head * result->ne[1] + token) * size;
    kernel_set_.to_halves(floats_at(result->src[1], token, head * size), static_cast<size_t>(size), halves);
  }
}

int64_t SelfAttention::pieces(const ggml_tensor*, int) const { return heads_; }

void SelfAttention::compute(ggml_tensor* result, int64_t head, int64_t) const {
  // A token sees itself and those before it, and beams see much of the same past. That concerns one head at a time, so
  // threads need not wait until everything is stored; more of them than heads find no work.
  store(result, head);
  for (int64_t token = 0; token < result->ne[1]; ++token) attend(result, head, token);
}

void SelfAttention::store(const ggml_tensor* result, int64_t head) const {
  const int64_t size = result->ne[0] / heads_;
  const auto* new_cells = static_cast<const int64_t*>(result->src[5]->data);
  for (const int part : {1, 2}) {
    const ggml_tensor* values = result->src[part];
    const ggml_tensor* cells = result->src[part + 2];
    for (int64_t token = 0; token < result->ne[1]; ++token) {
      auto* cell = static_cast<uint16_t*>(cells->data) + new_cells[token] * cells->ne[0] + head * size;
      kernel_set_.to_halves(floats_at(values, token, head * size), static_cast<size_t>(size), cell);
    }
  }
}

void SelfAttention::attend(ggml_tensor* result, int64_t head, int64_t token) const {
  const ggml_tensor* queries = result->src[0];
  const ggml_tensor* keys = result->src[3];
  const ggml_tensor* values = result->src[4];
  const ggml_tensor* bias = result->src[7];
  const int64_t size = result->ne[0] / heads_;
  const auto slots = static_cast<size_t>(bias->ne[0]);
  kernels::CellAttention task{};
  task.query = floats_at(queries, token, head * size);
  task.keys = halves_at(keys, static_cast<size_t>(head * size));
  task.values = halves_at(values, static_cast<size_t>(head * size));
  task.cell_stride = static_cast<size_t>(keys->ne[0]);
  task.head_size = static_cast<size_t>(size);
  task.cells = static_cast<const int32_t*>(result->src[6]->data) + static_cast<size_t>(token) * slots;
  task.count = static_cast<size_t>(static_cast<const int32_t*>(result->src[8]->data)[token]);
  task.bias = static_cast<const float*>(bias->data) + static_cast<size_t>(token * heads_ + head) * slots;
  task.output = floats_at(result, token, head * size);
  kernel_set_.attend_cells(task);
}

int64_t EncoderAttention::pieces(const ggml_tensor* result, int) const {
  return (result->ne[1] + most_rows - 1) / most_rows * result->src[3]->ne[1];
}

void EncoderAttention::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const ggml_tensor* queries = result->src[0];
  const ggml_tensor* values = result->src[2];
  const ggml_tensor* bias = result->src[3];
  const int64_t n = result->ne[1];
  const int64_t groups = (n + most_rows - 1) / most_rows;
  // Head by head, so that its keys and values are still in the cache.
  const int64_t head = piece / groups;
  const int64_t first = piece % groups * most_rows;
  const int64_t size = values->ne[0];
  kernels::Attention task = attention_over({result->src[1], values, head});
  task.queries = floats_at(queries, first, head * size);
  task.query_stride = row_floats(queries);
  task.rows = static_cast<size_t>(std::min(most_rows, n - first));
  // The next row sees every key at a distance that is smaller by one.
  task.bias = floats_at(bias, head, n - 1 - first);
  task.bias_stride = -1;
  task.mask = mask_;
  task.output = floats_at(result, first, head * size);
  task.output_stride = row_floats(result);
  kernel_set_.attend(task);
}

CrossAttentionOverSources::CrossAttentionOverSources(const kernels::KernelSet& kernel_set,
                                                     const std::vector<Columns>& sources)
    : kernel_set_(kernel_set), heads_(sources.front().values->ne[2]) {
  for (const auto& source : sources) {
    for (int64_t first = 0; first < source.count; first += most_rows) {
      groups_.push_back({source.first + first, std::min(most_rows, source.count - first), source.keys, source.values,
                         source.mask});
    }
  }
}

int64_t CrossAttentionOverSources::pieces(const ggml_tensor*, int threads) const {
  const auto groups = static_cast<int64_t>(groups_.size());
  return groups == 1 ? std::min(heads_, threads * pieces_per_thread) : groups * heads_;
}

void CrossAttentionOverSources::compute(ggml_tensor* result, int64_t piece, int64_t pieces) const {
  // Heads of one source lie behind each other: the kernel fetches the next one's keys.
  const int64_t all = static_cast<int64_t>(groups_.size()) * heads_;
  const int64_t end = share(all, piece + 1, pieces);
  for (int64_t i = share(all, piece, pieces); i < end; ++i) {
    attend(result, groups_[static_cast<size_t>(i / heads_)], i % heads_);
  }
}

void CrossAttentionOverSources::attend(ggml_tensor* result, const Columns& group, int64_t head) const {
  const ggml_tensor* queries = result->src[0];
  const int64_t size = group.values->ne[0];
  kernels::Attention task = attention_over({group.keys, group.values, head});
  task.queries = floats_at(queries, group.first, head * size);
  task.query_stride = row_floats(queries);
  task.rows = static_cast<size_t>(group.count);
  task.mask = group.mask;
  task.output = floats_at(result, group.first, head * size);
  task.output_stride = row_floats(result);
  kernel_set_.attend(task);
}

}  // namespace tandem
