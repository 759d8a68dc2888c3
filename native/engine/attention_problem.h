#pragma once
#include <algorithm>
#include <cstring>

#include "engine/library.h"
#include "kernels/kernel_set.h"

namespace tandem {

/** Cells that are attended to in one go: keys and values of a head of 64 are 64 KB, which stay in the second cache. */
constexpr size_t part_cells = 256;
/** Tokens that see about the same cells and are attended to together. */
constexpr size_t group_tokens = kernels::max_attention_rows;
/** Into so many spans of parts threads share the cells of few tokens: what they leave for each other stays small. */
constexpr size_t most_spans = 16;

constexpr size_t parts_of(size_t count, size_t size) { return (count + size - 1) / size; }

/** What ggml's fused attention asks for, and how it is cut into pieces. */
struct AttentionProblem {
  const ggml_tensor* queries;  // [size, tokens, heads] in f32
  const ggml_tensor* keys;     // [size, cells, key_heads] in f16, as the values
  const ggml_tensor* values;
  const ggml_tensor* mask;     // [cells, tokens] in f16, or null
  const ggml_tensor* sinks;    // [heads] scores that take part in the sums, or null
  ggml_tensor* result;         // [size, heads, tokens] in f32
  float scale;                 // of the scores
  float softcap;               // their bound, or 0
  float largest_slope;         // of ALiBi, or 0: with it the mask differs from head to head
  size_t size;
  size_t tokens;
  size_t heads;
  size_t key_heads;
  size_t cells;

  explicit AttentionProblem(ggml_tensor* operation)
      : queries(operation->src[0]),
        keys(operation->src[1]),
        values(operation->src[2]),
        mask(operation->src[3]),
        sinks(operation->src[4]),
        result(operation),
        scale(parameter(operation, 0)),
        softcap(parameter(operation, 2)),
        largest_slope(parameter(operation, 1)),
        size(static_cast<size_t>(queries->ne[0])),
        tokens(static_cast<size_t>(queries->ne[1])),
        heads(static_cast<size_t>(queries->ne[2])),
        key_heads(static_cast<size_t>(keys->ne[2])),
        cells(static_cast<size_t>(keys->ne[1])) {}

  /** Heads of queries that share one of keys. */
  size_t shared_by() const { return heads / key_heads; }
  size_t parts() const { return parts_of(cells, part_cells); }
  size_t spans() const { return std::min(parts(), most_spans); }
  size_t first_part(size_t span) const { return parts() * span / spans(); }
  /** Of few tokens every one has its own cells, and threads share the spans of these; of many the tokens. */
  bool has_few_tokens() const { return tokens <= group_tokens; }
  float* output(size_t token, size_t head) const { return at<float>(result, head, token); }

  const float* query(size_t token, size_t head) const { return at<float>(queries, token, head); }
  /** Halves from one cell's keys to the next one's, and so of its values. */
  size_t cell_stride() const { return keys->nb[1] / sizeof(uint16_t); }
  const uint16_t* keys_of(size_t key_head) const { return at<uint16_t>(keys, 0, key_head); }
  const uint16_t* values_of(size_t key_head) const { return at<uint16_t>(values, 0, key_head); }
  const uint16_t* mask_of(size_t token) const { return at<uint16_t>(mask, token, 0); }

 private:
  /** The values of a tensor from some index of its second and third dimension on. */
  template <typename Value>
  static Value* at(const ggml_tensor* tensor, size_t second, size_t third) {
    return reinterpret_cast<Value*>(static_cast<std::byte*>(tensor->data) + second * tensor->nb[1] + third * tensor->nb[2]);
  }
  static float parameter(const ggml_tensor* operation, size_t number) {
    float value;
    std::memcpy(&value, operation->op_params + number, sizeof(value));
    return value;
  }
};

}  // namespace tandem
