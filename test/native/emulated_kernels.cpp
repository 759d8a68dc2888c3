// Computes with the kernels of all instruction sets, the absent ones emulated, and with their definition, and prints a line
// of JSON for each: how many of the products differ in any bit.
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
    std::printf("{\"kernels\": \"%s\", \"products\": %zu, \"different\": %zu}\n", set->name, products, different);
  }
  return 0;
}
