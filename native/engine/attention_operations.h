#pragma once
#include <vector>

#include "engine/operation.h"
#include "kernels/kernel_set.h"

namespace tandem {

/** Whether the kernels compute attention over such heads and such keys and values. */
bool has_attention_kernel(const kernels::KernelSet* kernel_set, int64_t head_size, ggml_type kv_type);

// The next two are for `Graph::custom_into`: their first argument is what they write.

/**
 * Keys `[heads * size, n]` of any row stride -> `[16, size, tiles, heads]` in f16, as `kernels::Attention` reads them; the last
 * tile is filled up with zeros.
 */
class KeyTiles : public PiecewiseOperation {
 public:
  KeyTiles(const kernels::KernelSet& kernel_set, int64_t heads) : kernel_set_(kernel_set), heads_(heads) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const kernels::KernelSet& kernel_set_;
  int64_t heads_;
};

/** Values `[heads * size, n]` of any row stride -> `[size, n, heads]` in f16. */
class ValueHeads : public PiecewiseOperation {
 public:
  explicit ValueHeads(const kernels::KernelSet& kernel_set) : kernel_set_(kernel_set) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const kernels::KernelSet& kernel_set_;
};

/**
 * Writes the keys and values of new tokens into their cells; then each token over its own list of cells, read where they
 * lie. Arguments: queries, keys and values `[heads * size, tokens]`, the cells' keys and values `[heads * size, cells]` in
 * f16, the numbers of the new cells `[tokens]` and of all `[slots, tokens]`, the bias `[slots, 1, heads, tokens]`, and how
 * many of the slots each token sees `[tokens]`, which are the first.
 */
class SelfAttention : public PiecewiseOperation {
 public:
  SelfAttention(const kernels::KernelSet& kernel_set, int64_t heads) : kernel_set_(kernel_set), heads_(heads) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  void store(const ggml_tensor* result, int64_t head) const;
  void attend(ggml_tensor* result, int64_t head, int64_t token) const;

  const kernels::KernelSet& kernel_set_;
  int64_t heads_;
};

/**
 * Every token of a source over all of them. Arguments: queries `[heads * size, n]`, keys in tiles, values `[size, n, heads]` in
 * f16, and the bias of each distance from -(n - 1) to n - 1 `[2 n - 1, heads]`; `mask` `[n]` is null or outlives the graph.
 */
class EncoderAttention : public PiecewiseOperation {
 public:
  EncoderAttention(const kernels::KernelSet& kernel_set, const float* mask) : kernel_set_(kernel_set), mask_(mask) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const kernels::KernelSet& kernel_set_;
  const float* mask_;
};

/** All tokens of a step over their sources, whose keys and values are read once for those that share one. */
class CrossAttentionOverSources : public PiecewiseOperation {
 public:
  /** Columns of the queries that attend to one source. */
  struct Columns {
    int64_t first;
    int64_t count;
    const ggml_tensor* keys;    // in tiles
    const ggml_tensor* values;  // [size, n, heads] in f16
    const float* mask;          // [n] or null
  };

  /** The one argument: queries `[heads * size, tokens]`. */
  CrossAttentionOverSources(const kernels::KernelSet& kernel_set, const std::vector<Columns>& sources);

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  void attend(ggml_tensor* result, const Columns& group, int64_t head) const;

  const kernels::KernelSet& kernel_set_;
  std::vector<Columns> groups_;  // of at most as many columns as the kernel takes at once
  int64_t heads_;
};

}  // namespace tandem
