#pragma once
#include <memory>
#include <utility>

#include "engine/operation.h"
#include "kernels/kernel_set.h"

namespace tandem {

/** Makes the quantised rows that packed products read, from those of `x [inputs, n]`, the first of a node's arguments. */
class RowQuantizer {
 public:
  explicit RowQuantizer(const kernels::Quantization& quantization) : quantization_(quantization) {}
  virtual ~RowQuantizer() = default;

  size_t row_bytes(int64_t inputs) const;
  /** Row `row` from the arguments. */
  virtual void quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const;

 protected:
  /** The same from its values, `value(i)` for each of the inputs. */
  template <typename Value>
  void quantize_values(size_t inputs, std::byte* target, Value value) const;

 private:
  const kernels::Quantization& quantization_;
};

/** The rows of `RmsNorm`, with its arguments. */
class NormingQuantizer : public RowQuantizer {
 public:
  NormingQuantizer(const kernels::Quantization& quantization, float epsilon)
      : RowQuantizer(quantization), epsilon_(epsilon) {}
  void quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const override;

 private:
  float epsilon_;
};

/** The rows of max(x, 0). */
class RectifyingQuantizer : public RowQuantizer {
 public:
  using RowQuantizer::RowQuantizer;
  void quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const override;
};

/** The quantizer's arguments -> all rows, as bytes. */
class QuantizeRows : public PiecewiseOperation {
 public:
  explicit QuantizeRows(std::shared_ptr<const RowQuantizer> quantizer) : quantizer_(std::move(quantizer)) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  std::shared_ptr<const RowQuantizer> quantizer_;
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
