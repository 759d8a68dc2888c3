#pragma once
#include <memory>
#include <vector>

#include "engine/row_quantizer.h"
#include "kernels/packed_matrix.h"

namespace tandem {

/**
 * Rows, quantised already or as they are quantised -> `[outputs, n]`, the outputs of several matrices one behind the other,
 * which all read rows that are quantised alike; added to the last argument `[outputs, n]` if there is one more than the rows
 * need.
 */
class PackedLinear : public Operation {
 public:
  using Matrices = std::vector<const kernels::PackedMatrix*>;
  /** Values of few rows: every thread quantises all of them sooner than it waits for others that do. */
  static constexpr int64_t few_values = 4096;

  /** The first argument is what `QuantizeRows` gave. */
  PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices);
  /** The first arguments are the quantizer's: of few values, which every thread quantises for itself. */
  PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices, std::shared_ptr<const RowQuantizer> quantizer,
               size_t row_arguments);

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void work(ggml_tensor* result, Pieces pieces) const override;

 private:
  struct Activations {
    const std::byte* rows;
    size_t stride;
  };
  struct Range {
    size_t first;
    size_t end;
  };
  size_t row_pieces_of(const ggml_tensor* result) const;
  void multiply(ggml_tensor* result, const Activations& activations, const Range& rows, const Range& panels) const;

  const kernels::KernelSet& kernel_set_;
  Matrices matrices_;
  std::shared_ptr<const RowQuantizer> quantizer_;  // null: the rows are quantised already
  size_t row_arguments_ = 1;
};

/** Indices `[n]` -> `[inputs, n]`, those rows of a packed matrix. */
class UnpackRows : public PiecewiseOperation {
 public:
  explicit UnpackRows(const kernels::PackedMatrix& matrix) : matrix_(matrix) {}

 protected:
  int64_t pieces(const ggml_tensor* result, int threads) const override;
  void compute(ggml_tensor* result, int64_t piece, int64_t pieces) const override;

 private:
  const kernels::PackedMatrix& matrix_;
};

}  // namespace tandem
