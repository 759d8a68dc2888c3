#include "engine/packed_operations.h"

#include <algorithm>
#include <utility>

#include "engine/product_pieces.h"
#include "engine/tensor_rows.h"

namespace tandem {

PackedLinear::PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices)
    : kernel_set_(kernel_set), matrices_(std::move(matrices)) {}

PackedLinear::PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices,
                           std::shared_ptr<const RowQuantizer> quantizer, size_t row_arguments)
    : kernel_set_(kernel_set),
      matrices_(std::move(matrices)),
      quantizer_(std::move(quantizer)),
      row_arguments_(row_arguments) {}

size_t PackedLinear::row_pieces_of(const ggml_tensor* result) const {
  const ggml_tensor* activations = result->src[0];
  return quantizer_ ? 1 : row_pieces(static_cast<size_t>(activations->ne[1]), activations->nb[1]);
}

int64_t PackedLinear::pieces(const ggml_tensor* result, int threads) const {
  return static_cast<int64_t>(row_pieces_of(result) * PanelPieces::count(static_cast<size_t>(threads)));
}

void PackedLinear::work(ggml_tensor* result, Pieces pieces) const {
  constexpr size_t few_bytes = few_values / kernels::block_inputs * kernels::most_quantized_block_bytes;
  alignas(kernels::cache_line) std::byte few[few_bytes];
  const ggml_tensor* x = result->src[0];
  Activations activations{static_cast<const std::byte*>(x->data), x->nb[1]};
  if (quantizer_) {
    activations = {few, quantizer_->row_bytes(x->ne[0])};
    for (int64_t row = 0; row < x->ne[1]; ++row) {
      quantizer_->quantize(result->src, row, few + static_cast<size_t>(row) * activations.stride);
    }
  }
  size_t panels = 0;
  for (const auto* matrix : matrices_) panels += matrix->panel_count();
  const auto parts = static_cast<int64_t>(row_pieces_of(result));
  const int64_t panel_pieces = pieces.count() / parts;
  const PanelPieces shared(panels, static_cast<size_t>(panel_pieces));
  pieces.each([&](int64_t piece) {
    const auto row = [&](int64_t place) { return static_cast<size_t>(share(result->ne[1], place, parts)); };
    const auto place = static_cast<size_t>(piece % panel_pieces);
    multiply(result, activations, {row(piece / panel_pieces), row(piece / panel_pieces + 1)},
             {shared.first(place), shared.first(place + 1)});
  });
}

void PackedLinear::multiply(ggml_tensor* result, const Activations& activations, const Range& rows,
                            const Range& panels) const {
  const ggml_tensor* addend = result->src[row_arguments_];
  size_t matrix_panel = 0;   // the first of a matrix among all
  size_t matrix_output = 0;  // likewise
  for (const auto* matrix : matrices_) {
    const size_t begin = std::max(panels.first, matrix_panel) - matrix_panel;
    const size_t end = std::clamp(panels.end, matrix_panel, matrix_panel + matrix->panel_count()) - matrix_panel;
    if (begin < end) {
      const size_t output = begin * kernels::panel_outputs;
      const auto column = static_cast<int64_t>(matrix_output + output);
      const auto place_in = [&](const ggml_tensor* tensor) {
        return floats_at(tensor, static_cast<int64_t>(rows.first), column);
      };
      kernel_set_.multiply({matrix->type(), matrix->panels(output), matrix->blocks(),
                            std::min(matrix->outputs(), end * kernels::panel_outputs) - output,
                            activations.rows + rows.first * activations.stride, activations.stride,
                            rows.end - rows.first, place_in(result), result->nb[1] / sizeof(float),
                            addend == nullptr ? nullptr : place_in(addend)});
    }
    matrix_panel += matrix->panel_count();
    matrix_output += matrix->outputs();
  }
}

int64_t UnpackRows::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void UnpackRows::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const auto index = static_cast<const int32_t*>(result->src[0]->data)[piece];
  matrix_.unpack_row(static_cast<size_t>(index), floats_at(result, piece));
}

}  // namespace tandem
