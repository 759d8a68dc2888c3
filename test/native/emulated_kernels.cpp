// Computes with the kernels of all instruction sets, the absent ones emulated, and with their definition, and prints a line
// of JSON for each: how many of the products differ in any bit, and how far attention is from double precision.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/instruction_sets.h"
#include "kernels/packed_matrix.h"
#include "kernels/packed_memory.h"

namespace {

using namespace tandem::kernels;

struct Shape {
  size_t inputs;
  size_t outputs;
  size_t rows;
};

struct Problem {
  Shape shape;
  std::vector<std::byte> weights;  // rows of q8_0
  std::vector<float> activations;
  std::vector<float> addend;
};

constexpr size_t q8_block_bytes = 34;
constexpr uint16_t half_scale = 0x2155;  // 0.0104

Problem problem_of(const Shape& shape, std::mt19937& random) {
  Problem problem{shape, {}, {}, {}};
  std::normal_distribution<float> normal;
  problem.weights.resize(shape.outputs * shape.inputs / block_inputs * q8_block_bytes);
  for (auto& byte : problem.weights) byte = static_cast<std::byte>(random() % 3 == 0 ? 0x80 : random() % 256);
  for (size_t i = 0; i < problem.weights.size(); i += q8_block_bytes) {
    std::memcpy(&problem.weights[i], &half_scale, sizeof(half_scale));
  }
  for (size_t i = 0; i < shape.rows * shape.inputs; ++i) problem.activations.push_back(normal(random));
  for (size_t i = 0; i < shape.rows * shape.outputs; ++i) problem.addend.push_back(normal(random));
  return problem;
}

/** Blocks of 32 in order: exact sums of integers, one fused multiplication of each with both scales. */
float defined_product(const Problem& problem, const float* activations, const std::byte* weights) {
  float total = 0;
  for (size_t block = 0; block < problem.shape.inputs; block += block_inputs) {
    float largest = 0;
    for (size_t i = 0; i < block_inputs; ++i) largest = std::fmax(largest, std::fabs(activations[block + i]));
    int32_t sum = 0;
    for (size_t i = 0; i < block_inputs; ++i) {
      const auto weight = static_cast<int8_t>(weights[block / block_inputs * q8_block_bytes + 2 + i]);
      sum += weight * static_cast<int32_t>(std::nearbyint(activations[block + i] * (127.0F / largest)));
    }
    const float weight_scale = std::ldexp(1024 + (half_scale & 1023), (half_scale >> 10) - 25);
    total = std::fma(static_cast<float>(sum), weight_scale * (largest / 127.0F), total);
  }
  return total;
}

std::vector<float> product_of(const KernelSet& set, const Problem& problem) {
  const auto& [inputs, outputs, rows] = problem.shape;
  const PackedMemory memory(PackedMatrix::bytes(inputs, outputs));
  PackedMatrix matrix(inputs, outputs, memory.data());
  matrix.pack(0, outputs, problem.weights.data());
  const size_t stride = matrix.blocks() * set.quantized_block_bytes;
  std::vector<std::byte> quantized(rows * stride);
  for (size_t row = 0; row < rows; ++row) {
    set.quantize(&problem.activations[row * inputs], matrix.blocks(), &quantized[row * stride]);
  }
  std::vector<float> result(rows * outputs);
  set.multiply({matrix.panels(), matrix.blocks(), outputs, quantized.data(), stride, rows, result.data(), outputs,
                problem.addend.data()});
  return result;
}

size_t differences(const KernelSet& set, const Problem& problem) {
  const auto found = product_of(set, problem);
  size_t count = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t row = i / problem.shape.outputs;
    const size_t output = i % problem.shape.outputs;
    const float expected = problem.addend[i] +
                           defined_product(problem, &problem.activations[row * problem.shape.inputs],
                                           &problem.weights[output * problem.shape.inputs / block_inputs * q8_block_bytes]);
    count += std::memcmp(&found[i], &expected, sizeof(expected)) != 0;
  }
  return count;
}

/** Two heads of rows over 53 cells in a given order, or in their own when `cells` is empty: the largest error. */
double attention_error(const KernelSet& set, size_t rows, const std::vector<int32_t>& cells, std::mt19937& random) {
  constexpr size_t count = 53;
  constexpr size_t stride = 96;
  constexpr size_t size = 48;
  std::normal_distribution<float> normal;
  std::vector<uint16_t> keys(64 * stride);
  std::vector<uint16_t> values(64 * stride);
  // Numbers from 1 to 2 and their negatives in half precision.
  const auto half = [&] { return static_cast<uint16_t>(0x3c00 | random() % 1024 | random() % 2 << 15); };
  const auto number = [](uint16_t bits) { return ((bits & 0x8000) != 0 ? -1 : 1) * (1 + (bits & 1023) / 1024.0); };
  for (auto& key : keys) key = half();
  for (auto& value : values) value = half();
  std::vector<float> queries(rows * stride);
  for (auto& query : queries) query = normal(random);
  std::vector<float> bias(count);
  for (auto& entry : bias) entry = random() % 7 == 0 ? -INFINITY : normal(random);
  bias[0] = 1;
  std::vector<float> output(rows * stride);
  double largest = 0;
  for (size_t head = 0; head < stride; head += size) {
    set.attend({&queries[head], stride, rows, &keys[head], &values[head], stride, size,
                cells.empty() ? nullptr : cells.data(), count, bias.data(), &output[head], stride});
    for (size_t row = 0; row < rows; ++row) {
      double total = 0;
      std::vector<double> mixed(size);
      for (size_t j = 0; j < count; ++j) {
        const size_t cell = head + stride * (cells.empty() ? j : static_cast<size_t>(cells[j]));
        double score = bias[j];
        for (size_t i = 0; i < size; ++i) score += double{queries[row * stride + head + i]} * number(keys[cell + i]);
        total += std::exp(score);
        for (size_t i = 0; i < size; ++i) mixed[i] += std::exp(score) * number(values[cell + i]);
      }
      for (size_t i = 0; i < size; ++i) {
        const double error = std::fabs(mixed[i] / total - output[row * stride + head + i]);
        if (!(error <= largest)) largest = error;
      }
    }
  }
  return largest;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::vector<Problem> problems;
  for (size_t rows = 1; rows <= 26; ++rows) problems.push_back(problem_of({96, 37, rows}, random));
  problems.push_back(problem_of({3072, 48, 12}, random));
  problems.push_back(problem_of({32, 1, 1}, random));
  for (const auto* set : {&avx2, &avxvnni, &avx512vnni}) {
    size_t products = 0;
    size_t different = 0;
    for (const auto& problem : problems) {
      products += problem.shape.rows * problem.shape.outputs;
      different += differences(*set, problem);
    }
    std::vector<int32_t> cells;
    for (int32_t j = 0; j < 53; ++j) cells.push_back(j * 37 % 64);
    double error = 0;
    for (size_t rows = 1; rows <= max_attention_rows; ++rows) {
      error += attention_error(*set, rows, {}, random) + attention_error(*set, rows, cells, random);
    }
    std::printf("{\"kernels\": \"%s\", \"products\": %zu, \"different\": %zu, \"attentionError\": %g}\n", set->name,
                products, different, error);
  }
  return 0;
}
