#include "engine/packed_operations.h"

#include <algorithm>
#include <utility>

#include "engine/tensor_rows.h"

namespace tandem {

namespace {

/** Rows of activations that stay in a core's second cache while all panels pass by them. */
constexpr int64_t activation_bytes = 256 << 10;
/** In each round every thread takes a piece, and all of them half of what is left; in the last one all of it. */
constexpr int64_t rounds = 5;

/** Which of `count` parts of the work `piece` begins with: large pieces are read in one go, small ones end together. */
int64_t guided_share(int64_t count, int64_t piece, int64_t threads) {
  const int64_t round = std::min(piece / threads, rounds - 1);
  const int64_t in_round = round == rounds - 1 ? threads : 2 * threads;  // pieces of its size in what is left before it
  const int64_t taken = piece - round * threads;
  return count - (count * (in_round - taken) / in_round >> round);
}

}  // namespace

PackedLinear::PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices)
    : kernel_set_(kernel_set), matrices_(std::move(matrices)) {}

PackedLinear::PackedLinear(const kernels::KernelSet& kernel_set, Matrices matrices,
                           std::shared_ptr<const RowQuantizer> quantizer, size_t row_arguments)
    : kernel_set_(kernel_set),
      matrices_(std::move(matrices)),
      quantizer_(std::move(quantizer)),
      row_arguments_(row_arguments) {}

int64_t PackedLinear::row_pieces(const ggml_tensor* result) const {
  if (quantizer_) return 1;
  const ggml_tensor* activations = result->src[0];
  const int64_t bytes = static_cast<int64_t>(activations->nb[1]) * activations->ne[1];
  return std::min((bytes + activation_bytes - 1) / activation_bytes, activations->ne[1]);
}

int64_t PackedLinear::panel_groups() const {
  size_t panels = 0;
  for (const auto* matrix : matrices_) panels += matrix->panel_count();
  return static_cast<int64_t>((panels + kernels::panels_together - 1) / kernels::panels_together);
}

int64_t PackedLinear::pieces(const ggml_tensor* result, int threads) const {
  return row_pieces(result) * (threads == 1 ? 1 : threads * rounds);
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
  pieces.each([&](int64_t piece) { multiply(result, activations, piece, pieces.count()); });
}

void PackedLinear::multiply(ggml_tensor* result, const Activations& activations, int64_t piece, int64_t pieces) const {
  const ggml_tensor* addend = result->src[row_arguments_];
  const int64_t groups = pieces / row_pieces(result);
  const auto row_of = [&](int64_t place) { return share(result->ne[1], place, row_pieces(result)); };
  const auto panel_of = [&](int64_t place) {
    const int64_t group = groups == 1 ? place * panel_groups() : guided_share(panel_groups(), place, groups / rounds);
    return static_cast<size_t>(group) * kernels::panels_together;
  };
  const int64_t first_row = row_of(piece / groups);
  const auto rows = static_cast<size_t>(row_of(piece / groups + 1) - first_row);
  const std::byte* first_activations = activations.rows + static_cast<size_t>(first_row) * activations.stride;
  const size_t first_panel = panel_of(piece % groups);
  const size_t panel_end = panel_of(piece % groups + 1);
  size_t matrix_panel = 0;   // the first of a matrix among all
  size_t matrix_output = 0;  // likewise
  for (const auto* matrix : matrices_) {
    const size_t begin = std::max(first_panel, matrix_panel) - matrix_panel;
    const size_t end = std::clamp(panel_end, matrix_panel, matrix_panel + matrix->panel_count()) - matrix_panel;
    if (begin < end) {
      const size_t output = begin * kernels::panel_outputs;
      const auto column = static_cast<int64_t>(matrix_output + output);
      const auto place_in = [&](const ggml_tensor* tensor) { return floats_at(tensor, first_row, column); };
      kernel_set_.multiply({matrix->type(), matrix->panels(output), matrix->blocks(),
                            std::min(matrix->outputs(), end * kernels::panel_outputs) - output,
                            first_activations, activations.stride, rows, place_in(result), result->nb[1] / sizeof(float),
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
