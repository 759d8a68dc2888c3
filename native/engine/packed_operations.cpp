#include "engine/packed_operations.h"

#include <algorithm>
#include <cmath>

namespace tandem {

namespace {

/** Rows of activations that stay in a core's second cache while all panels pass by them. */
constexpr int64_t activation_bytes = 256 << 10;
/** In each round every thread takes a piece, and all of them half of what is left; in the last one all of it. */
constexpr int64_t rounds = 5;

/** Which of `count` parts of the work piece `piece` begins with: large pieces are read in one go, small ones end together. */
int64_t guided_share(int64_t count, int64_t piece, int64_t threads) {
  const int64_t round = std::min(piece / threads, rounds - 1);
  const int64_t scale = threads << (round + (round < rounds - 1 ? 1 : 0));
  return count - count * ((threads << (round < rounds - 1 ? 1 : 0)) - (piece - round * threads)) / scale;
}

std::byte* row_of(const ggml_tensor* tensor, size_t row) {
  return static_cast<std::byte*>(tensor->data) + row * tensor->nb[1];
}

/** What a row is multiplied with for its root mean square to be 1. */
float rms_scale(const float* x, size_t size, float epsilon) {
  double squares = 0;
  for (size_t i = 0; i < size; ++i) squares += static_cast<double>(x[i]) * x[i];
  return 1.0F / std::sqrt(static_cast<float>(squares / static_cast<double>(size)) + epsilon);
}

}  // namespace

int64_t QuantizeRows::row_bytes(int64_t inputs) const {
  const int64_t blocks = inputs / static_cast<int64_t>(kernels::block_inputs);
  return blocks * static_cast<int64_t>(kernel_set_.quantized_block_bytes);
}

int64_t QuantizeRows::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void QuantizeRows::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const ggml_tensor* x = result->src[0];
  const auto row = static_cast<size_t>(piece);
  kernel_set_.quantize(reinterpret_cast<const float*>(row_of(x, row)),
                       static_cast<size_t>(x->ne[0]) / kernels::block_inputs, row_of(result, row));
}

template <typename Value>
void QuantizeRows::quantize_row(ggml_tensor* result, size_t row, Value value) const {
  constexpr size_t part = 16 * kernels::block_inputs;
  float values[part];
  const auto size = static_cast<size_t>(result->src[0]->ne[0]);
  std::byte* target = row_of(result, row);
  for (size_t first = 0; first < size; first += part) {
    const size_t count = std::min(part, size - first);
    for (size_t i = 0; i < count; ++i) values[i] = value(first + i);
    kernel_set_.quantize(values, count / kernels::block_inputs, target);
    target += count / kernels::block_inputs * kernel_set_.quantized_block_bytes;
  }
}

void QuantizeNormed::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const auto row = static_cast<size_t>(piece);
  const auto* x = reinterpret_cast<const float*>(row_of(result->src[0], row));
  const auto* weight = static_cast<const float*>(result->src[1]->data);
  const float scale = rms_scale(x, static_cast<size_t>(result->src[0]->ne[0]), epsilon_);
  quantize_row(result, row, [=](size_t i) { return x[i] * scale * weight[i]; });
}

void QuantizeRectified::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const auto row = static_cast<size_t>(piece);
  const auto* x = reinterpret_cast<const float*>(row_of(result->src[0], row));
  // What is no number stays so, as in ggml's relu.
  quantize_row(result, row, [=](size_t i) { return x[i] < 0 ? 0.0F : x[i]; });
}

int64_t RmsNorm::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void RmsNorm::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const auto row = static_cast<size_t>(piece);
  const auto size = static_cast<size_t>(result->ne[0]);
  const auto* x = reinterpret_cast<const float*>(row_of(result->src[0], row));
  const auto* weight = static_cast<const float*>(result->src[1]->data);
  auto* target = reinterpret_cast<float*>(row_of(result, row));
  const float scale = rms_scale(x, size, epsilon_);
  for (size_t i = 0; i < size; ++i) target[i] = x[i] * scale * weight[i];
}

int64_t PackedLinear::row_pieces(const ggml_tensor* result) const {
  const ggml_tensor* activations = result->src[0];
  return (static_cast<int64_t>(activations->nb[1]) * activations->ne[1] + activation_bytes - 1) / activation_bytes;
}

int64_t PackedLinear::panel_groups() const {
  size_t panels = 0;
  for (const auto* matrix : matrices_) panels += matrix->panel_count();
  return static_cast<int64_t>((panels + kernels::panels_together - 1) / kernels::panels_together);
}

int64_t PackedLinear::pieces(const ggml_tensor* result, int threads) const {
  return row_pieces(result) * (threads == 1 ? 1 : threads * rounds);
}

void PackedLinear::compute(ggml_tensor* result, int64_t piece, int64_t pieces) const {
  const ggml_tensor* activations = result->src[0];
  const ggml_tensor* addend = result->src[1];
  const int64_t groups = pieces / row_pieces(result);
  const auto part = [](int64_t count, int64_t of, int64_t parts) { return static_cast<size_t>(share(count, of, parts)); };
  const size_t first_row = part(result->ne[1], piece / groups, row_pieces(result));
  const size_t row_end = part(result->ne[1], piece / groups + 1, row_pieces(result));
  const auto panel_of = [&](int64_t place) {
    const int64_t group = groups == 1 ? place * panel_groups() : guided_share(panel_groups(), place, groups / rounds);
    return static_cast<size_t>(group) * kernels::panels_together;
  };
  const size_t first_panel = panel_of(piece % groups);
  const size_t panel_end = panel_of(piece % groups + 1);
  size_t matrix_panel = 0;   // the first of a matrix among all
  size_t matrix_output = 0;  // likewise
  for (const auto* matrix : matrices_) {
    const size_t begin = std::max(first_panel, matrix_panel) - matrix_panel;
    const size_t end = std::clamp(panel_end, matrix_panel, matrix_panel + matrix->panel_count()) - matrix_panel;
    if (begin < end) {
      const size_t output = begin * kernels::panel_outputs;
      const auto floats_of = [&](const ggml_tensor* tensor) {
        return reinterpret_cast<float*>(row_of(tensor, first_row)) + matrix_output + output;
      };
      kernel_set_.multiply({matrix->type(), matrix->panels(output), matrix->blocks(),
                            std::min(matrix->outputs(), end * kernels::panel_outputs) - output,
                            row_of(activations, first_row), activations->nb[1], row_end - first_row, floats_of(result),
                            result->nb[1] / sizeof(float), addend == nullptr ? nullptr : floats_of(addend)});
    }
    matrix_panel += matrix->panel_count();
    matrix_output += matrix->outputs();
  }
}

int64_t UnpackRows::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void UnpackRows::compute(ggml_tensor* result, int64_t piece, int64_t) const {
  const auto index = static_cast<const int32_t*>(result->src[0]->data)[piece];
  matrix_.unpack_row(static_cast<size_t>(index), reinterpret_cast<float*>(row_of(result, static_cast<size_t>(piece))));
}

}  // namespace tandem
