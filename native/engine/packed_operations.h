#pragma once
#include <utility>
#include <vector>

#include "engine/operation.h"
#include "kernels/kernel_set.h"
#include "kernels/packed_matrix.h"

namespace tandem {

/** `x [inputs, n]` in f32 -> the quantised rows that packed products read, as bytes. */
class QuantizeRows : public Operation {
 public:
  explicit QuantizeRows(const kernels::KernelSet& kernel_set) : kernel_set_(kernel_set) {}
  int64_t row_bytes(int64_t inputs) const;

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;
  /** Row `row` of the result from its values, `value(i)` for each input. */
  template <typename Value>
  void quantize_row(ggml_tensor* result, size_t row, Value value) const;

 private:
  const kernels::KernelSet& kernel_set_;
};

/** Quantised rows of `RmsNorm`, with its arguments: threads wait for each other once and not twice. */
class QuantizeNormed : public QuantizeRows {
 public:
  QuantizeNormed(const kernels::KernelSet& kernel_set, float epsilon) : QuantizeRows(kernel_set), epsilon_(epsilon) {}

 protected:
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  float epsilon_;
};

/** Quantised rows of max(x, 0). */
class QuantizeRectified : public QuantizeRows {
 public:
  using QuantizeRows::QuantizeRows;

 protected:
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;
};

/** `x [size, n]` and weight `[size]` -> `[size, n]`, in one node where ggml has two. */
class RmsNorm : public Operation {
 public:
  explicit RmsNorm(float epsilon) : epsilon_(epsilon) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  float epsilon_;
};

/**
 * Quantised rows -> `[outputs, n]`, those of several matrices one behind the other; added to the second argument
 * `[outputs, n]` if there is one.
 */
class PackedLinear : public Operation {
 public:
  PackedLinear(const kernels::KernelSet& kernel_set, std::vector<const kernels::PackedMatrix*> matrices)
      : kernel_set_(kernel_set), matrices_(std::move(matrices)) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  int64_t row_pieces(const ggml_tensor* result) const;
  int64_t panel_groups() const;

  const kernels::KernelSet& kernel_set_;
  std::vector<const kernels::PackedMatrix*> matrices_;
};

/** Indices `[n]` -> `[inputs, n]`, those rows of a packed matrix. */
class UnpackRows : public Operation {
 public:
  explicit UnpackRows(const kernels::PackedMatrix& matrix) : matrix_(matrix) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const kernels::PackedMatrix& matrix_;
};

}  // namespace tandem
