#include "engine/row_quantizer.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor_rows.h"

namespace tandem {

namespace {

/** What a row is multiplied with for its root mean square to be 1. */
float rms_scale(const float* x, size_t size, float epsilon) {
  // Sums side by side do not wait for each other: a fourth of the time of a single one.
  constexpr size_t lanes = 8;
  const auto square = [=](size_t i) { return static_cast<double>(x[i]) * x[i]; };
  double squares[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (size_t lane = 0; lane < lanes; ++lane) squares[lane] += square(i + lane);
  }
  double sum = 0;
  for (; i < size; ++i) sum += square(i);
  for (const double lane : squares) sum += lane;
  return 1.0F / std::sqrt(static_cast<float>(sum / static_cast<double>(size)) + epsilon);
}

}  // namespace

size_t RowQuantizer::row_bytes(int64_t inputs) const {
  return static_cast<size_t>(inputs) / kernels::block_inputs * quantization_.block_bytes;
}

void RowQuantizer::quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const {
  const auto inputs = static_cast<size_t>(arguments[0]->ne[0]);
  quantization_.quantize(floats_at(arguments[0], row), inputs / kernels::block_inputs, target);
}

template <typename Value>
void RowQuantizer::quantize_values(size_t inputs, std::byte* target, Value value) const {
  constexpr size_t part = 16 * kernels::block_inputs;
  float values[part];
  for (size_t first = 0; first < inputs; first += part) {
    const size_t count = std::min(part, inputs - first);
    for (size_t i = 0; i < count; ++i) values[i] = value(first + i);
    quantization_.quantize(values, count / kernels::block_inputs, target);
    target += count / kernels::block_inputs * quantization_.block_bytes;
  }
}

void NormingQuantizer::quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const {
  const auto size = static_cast<size_t>(arguments[0]->ne[0]);
  const float* x = floats_at(arguments[0], row);
  const float* weight = floats_at(arguments[1], 0);
  const float scale = rms_scale(x, size, epsilon_);
  quantize_values(size, target, [=](size_t i) { return x[i] * scale * weight[i]; });
}

void RectifyingQuantizer::quantize(ggml_tensor* const* arguments, int64_t row, std::byte* target) const {
  const float* x = floats_at(arguments[0], row);
  // What is no number stays so, as in ggml's relu.
  quantize_values(static_cast<size_t>(arguments[0]->ne[0]), target, [=](size_t i) { return x[i] < 0 ? 0.0F : x[i]; });
}

int64_t QuantizeRows::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void QuantizeRows::compute(ggml_tensor* result, int64_t row, int64_t) const {
  quantizer_->quantize(result->src, row, static_cast<std::byte*>(result->data) + row * result->ne[0]);
}

int64_t RmsNorm::pieces(const ggml_tensor* result, int) const { return result->ne[1]; }

void RmsNorm::compute(ggml_tensor* result, int64_t row, int64_t) const {
  const auto size = static_cast<size_t>(result->ne[0]);
  const float* x = floats_at(result->src[0], row);
  const float* weight = floats_at(result->src[1], 0);
  float* target = floats_at(result, row);
  const float scale = rms_scale(x, size, epsilon_);
  for (size_t i = 0; i < size; ++i) target[i] = x[i] * scale * weight[i];
}

}  // namespace tandem
