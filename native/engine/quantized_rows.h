#pragma once
#include <memory>
#include <utility>

#include "engine/operation.h"
#include "kernels/kernel_set.h"

namespace tandem {

/** Where the quantised rows that packed products read come from: the rows of `x [inputs, n]`, the first argument. */
class QuantizedRows {
 public:
  explicit QuantizedRows(const kernels::KernelSet& kernel_set) : kernel_set_(kernel_set) {}
  virtual ~QuantizedRows() = default;

  size_t row_bytes(int64_t inputs) const;
  /** Row `row` from the arguments. */
  virtual void quantize(ggml_tensor* const* arguments, size_t row, std::byte* target) const;

 protected:
  /** The same from its values, `value(i)` for each of the inputs. */
  template <typename Value>
  void quantize_values(size_t inputs, std::byte* target, Value value) const;

 private:
  const kernels::KernelSet& kernel_set_;
};

/** Rows of `RmsNorm`, with its arguments. */
class NormedRows : public QuantizedRows {
 public:
  NormedRows(const kernels::KernelSet& kernel_set, float epsilon) : QuantizedRows(kernel_set), epsilon_(epsilon) {}
  void quantize(ggml_tensor* const* arguments, size_t row, std::byte* target) const override;

 private:
  float epsilon_;
};

/** Rows of max(x, 0). */
class RectifiedRows : public QuantizedRows {
 public:
  using QuantizedRows::QuantizedRows;
  void quantize(ggml_tensor* const* arguments, size_t row, std::byte* target) const override;
};

/** The arguments of `rows` -> all of them quantised, as bytes. */
class QuantizeRows : public PiecewiseOperation {
 public:
  explicit QuantizeRows(std::shared_ptr<const QuantizedRows> rows) : rows_(std::move(rows)) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  std::shared_ptr<const QuantizedRows> rows_;
};

/** `x [size, n]` and weight `[size]` -> `[size, n]`, in one node where ggml has two. */
class RmsNorm : public PiecewiseOperation {
 public:
  explicit RmsNorm(float epsilon) : epsilon_(epsilon) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  float epsilon_;
};

}  // namespace tandem
