// Computes with the kernels of all instruction sets, the absent ones emulated, and with their definition, and prints a line
// of JSON for each: how many of the products differ in any bit, how many with broken scales are finite or change others, and
// how far attention is from double precision.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
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
  PackedType type = PackedType::q8_0;
  bool adds = true;

  size_t unit_inputs() const { return has_superblocks(type) ? 256 : 32; }
  size_t unit_bytes() const {
    switch (type) {
      case PackedType::q8_0: return 34;
      case PackedType::q4_0: return 18;
      case PackedType::q4_1: return 20;
      case PackedType::q5_0: return 22;
      case PackedType::q5_1: return 24;
      case PackedType::q4_k: return 144;
      case PackedType::q5_k: return 176;
      case PackedType::q6_k: return 210;
    }
    return 0;
  }
  /** Inputs that share a scale. */
  size_t scaled_inputs() const { return type == PackedType::q6_k ? 16 : 32; }
  size_t row_bytes() const { return inputs / unit_inputs() * unit_bytes(); }
};

struct Problem {
  Shape shape;
  std::vector<std::byte> weights;  // rows of the type
  std::vector<float> activations;
  std::vector<float> addend;  // or nothing
};

/** A finite number in half precision. */
float number_of(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int digits = (half & 1023) + (exponent == 0 ? 0 : 1024);
  return std::ldexp(static_cast<float>((half & 0x8000) != 0 ? -digits : digits), std::max(exponent, 1) - 25);
}

/** Where a unit has its scale or the factor of its scales; its minimum or the factor of these follows. */
size_t scale_place(PackedType type) { return type == PackedType::q6_k ? 208 : 0; }

/** The half-precision numbers of all units, which the other bytes leave as they are. */
template <typename Half>
void set_factors(Problem& problem, Half half) {
  const auto& shape = problem.shape;
  for (size_t i = 0; i < problem.weights.size(); i += shape.unit_bytes()) {
    for (size_t number = 0; number <= has_minimums(shape.type); ++number) {
      const uint16_t value = half();
      std::memcpy(&problem.weights[i + scale_place(shape.type) + 2 * number], &value, sizeof(value));
    }
  }
}

/** The largest sums that a type can have, of either sign: all weights of an output are its smallest or its largest. */
Problem extremes_of(PackedType type) {
  const Shape shape{has_superblocks(type) ? 512U : 96U, 32, 3, type, false};
  Problem problem{shape, std::vector<std::byte>(shape.outputs * shape.row_bytes()), {}, {}};
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const bool is_smallest = i / shape.row_bytes() % 2 == 0;
    const size_t at = i % shape.unit_bytes();
    const bool is_scale = (has_superblocks(type) && has_minimums(type) && at < 16) || (type == PackedType::q6_k && at >= 192);
    const int smallest = type == PackedType::q8_0 ? 0x80 : 0;
    const int largest = type == PackedType::q8_0 ? 0x7f : 0xff;
    problem.weights[i] = static_cast<std::byte>(is_scale ? 0x7f : is_smallest ? smallest : largest);
  }
  set_factors(problem, [] { return uint16_t{0x2155}; });  // 0.0104
  for (size_t row = 0; row < shape.rows; ++row) {
    for (size_t i = 0; i < shape.inputs; ++i) problem.activations.push_back(row == 0 || (row == 1 && i % 2 == 0) ? 2 : -2);
  }
  return problem;
}

Problem problem_of(const Shape& shape, std::mt19937& random) {
  Problem problem{shape, {}, {}, {}};
  std::normal_distribution<float> normal;
  problem.weights.resize(shape.outputs * shape.row_bytes());
  for (auto& byte : problem.weights) byte = static_cast<std::byte>(random() % 3 == 0 ? 0x80 : random() % 256);
  // Of either sign, from what is nearly 0 to 2.
  set_factors(problem, [&] { return static_cast<uint16_t>(random() % 0x4000 | random() % 2 << 15); });
  for (size_t i = 0; i < shape.rows * shape.inputs; ++i) problem.activations.push_back(normal(random));
  if (!shape.adds) return problem;
  for (size_t i = 0; i < shape.rows * shape.outputs; ++i) problem.addend.push_back(normal(random));
  return problem;
}

/** A weight is `scale * value - minimum`. */
struct Weight {
  int32_t value;
  float scale;
  float minimum;
};

Weight weight_of(const Shape& shape, const std::byte* row, size_t input) {
  const std::byte* unit = row + input / shape.unit_inputs() * shape.unit_bytes();
  const auto byte = [&](size_t at) { return static_cast<uint32_t>(unit[at]); };
  const auto half = [&](size_t at, size_t part) { return static_cast<int32_t>(part == 0 ? byte(at) % 16 : byte(at) / 16); };
  const auto number_at = [&](size_t at) { return number_of(static_cast<uint16_t>(byte(at) | byte(at + 1) << 8)); };
  const float factor = number_at(scale_place(shape.type));
  const size_t at = input % block_inputs;
  if (shape.type == PackedType::q8_0) return {static_cast<int8_t>(unit[2 + at]), factor, 0};
  if (shape.type == PackedType::q4_0) return {half(2 + at % 16, at / 16) - 8, factor, 0};
  if (shape.type == PackedType::q4_1) return {half(4 + at % 16, at / 16), factor, -number_at(2)};
  const auto five_bits = [&](size_t first) {
    return half(first + 4 + at % 16, at / 16) + 16 * static_cast<int32_t>(byte(first + at / 8) >> at % 8 & 1);
  };
  if (shape.type == PackedType::q5_0) return {five_bits(2) - 16, factor, 0};
  if (shape.type == PackedType::q5_1) return {five_bits(4), factor, -number_at(2)};
  const size_t eighth = input % 256 / block_inputs;
  if (shape.type == PackedType::q6_k) {
    const size_t in_half = eighth % 4;
    const int32_t lower = half(eighth / 4 * 64 + in_half % 2 * 32 + at, in_half / 2);
    const auto upper = static_cast<int32_t>(byte(128 + eighth / 4 * 32 + at) >> 2 * in_half & 3);
    const auto scale = static_cast<int8_t>(unit[192 + input % 256 / 16]);
    return {lower + 16 * upper - 32, static_cast<float>(scale) * factor, 0};
  }
  const uint32_t scale = eighth < 4 ? byte(4 + eighth) & 63 : (byte(8 + eighth) & 15) | byte(eighth) >> 6 << 4;
  const uint32_t minimum = eighth < 4 ? byte(8 + eighth) & 63 : byte(8 + eighth) >> 4 | byte(4 + eighth) >> 6 << 4;
  const bool has_upper = shape.type == PackedType::q5_k;
  const auto upper = has_upper ? static_cast<int32_t>(byte(16 + at) >> eighth & 1) : 0;
  const int32_t lower = half((has_upper ? 48 : 16) + eighth / 2 * 32 + at, eighth % 2);
  return {lower + 16 * upper, static_cast<float>(scale) * factor, static_cast<float>(minimum) * number_at(2)};
}

/** Blocks of 32 in order: exact sums of integers, times the scale of the weights, and with that of the activations added. */
float defined_product(const Problem& problem, const float* activations, const std::byte* weights) {
  float total = 0;
  for (size_t block = 0; block < problem.shape.inputs; block += block_inputs) {
    float largest = 0;
    for (size_t i = 0; i < block_inputs; ++i) largest = std::fmax(largest, std::fabs(activations[block + i]));
    for (size_t part = block; part < block + block_inputs; part += problem.shape.scaled_inputs()) {
      int32_t product = 0;
      int32_t sum = 0;
      for (size_t i = part; i < part + problem.shape.scaled_inputs(); ++i) {
        const auto activation = static_cast<int32_t>(std::nearbyint(activations[i] * (127.0F / largest)));
        product += weight_of(problem.shape, weights, i).value * activation;
        sum += activation;
      }
      const auto [value, scale, minimum] = weight_of(problem.shape, weights, part);
      total = std::fma(static_cast<float>(product) * scale, largest / 127.0F, total);
      total = std::fma(minimum, -(largest / 127.0F) * static_cast<float>(sum), total);
    }
  }
  return total;
}

std::vector<float> product_of(const KernelSet& set, const Problem& problem) {
  const auto& [inputs, outputs, rows, type, adds] = problem.shape;
  const PackedShape shape{type, inputs, outputs};
  const PackedMemory memory(shape.bytes());
  PackedMatrix matrix(shape, memory.data());
  matrix.pack(0, outputs, problem.weights.data());
  const size_t stride = matrix.blocks() * set.quantization(type).block_bytes;
  std::vector<std::byte> quantized(rows * stride);
  for (size_t row = 0; row < rows; ++row) {
    set.quantization(type).quantize(&problem.activations[row * inputs], matrix.blocks(), &quantized[row * stride]);
  }
  std::vector<float> result(rows * outputs);
  set.multiply({type, matrix.panels(), matrix.blocks(), outputs, quantized.data(), stride, rows, result.data(), outputs,
                adds ? problem.addend.data() : nullptr});
  return result;
}

size_t differences(const KernelSet& set, const Problem& problem) {
  const auto found = product_of(set, problem);
  size_t count = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t row = i / problem.shape.outputs;
    const size_t output = i % problem.shape.outputs;
    float expected = defined_product(problem, &problem.activations[row * problem.shape.inputs],
                                     &problem.weights[output * problem.shape.row_bytes()]);
    if (problem.shape.adds) expected += problem.addend[i];
    count += std::memcmp(&found[i], &expected, sizeof(expected)) != 0;
  }
  return count;
}

/** Outputs whose weights have a scale or a minimum that is infinite or no number are not finite, and the others as without it. */
size_t wrongly_finite(const KernelSet& set, Problem problem) {
  const auto sound = product_of(set, problem);
  const size_t scale = scale_place(problem.shape.type);
  const size_t places[] = {scale, scale, has_minimums(problem.shape.type) ? scale + 2 : scale};
  const uint16_t halves[] = {0x7c00, 0x7e00, 0xfc00};
  const size_t broken[] = {5, 20, 30};
  for (size_t i = 0; i < 3; ++i) {
    std::memcpy(&problem.weights[broken[i] * problem.shape.row_bytes() + places[i]], &halves[i], sizeof(halves[i]));
  }
  const auto found = product_of(set, problem);
  size_t count = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t output = i % problem.shape.outputs;
    const bool is_broken = std::find(std::begin(broken), std::end(broken), output) != std::end(broken);
    count += is_broken ? std::isfinite(found[i]) : std::memcmp(&found[i], &sound[i], sizeof(found[i])) != 0;
  }
  return count;
}

// Numbers from 1 to 2 and their negatives in half precision.
uint16_t random_half(std::mt19937& random) { return static_cast<uint16_t>(0x3c00 | random() % 1024 | random() % 2 << 15); }
double number(uint16_t bits) { return ((bits & 0x8000) != 0 ? -1 : 1) * (1 + (bits & 1023) / 1024.0); }

/** What one row of attention is by definition, in double precision. */
struct Defined {
  size_t head_size;
  const float* query;
  const uint16_t* keys;  // [cell][stride]
  const uint16_t* values;
  size_t stride;
  std::vector<int32_t> cells;
  std::vector<double> bias;

  double error_of(const float* found) const {
    double total = 0;
    std::vector<double> mixed(head_size);
    for (size_t j = 0; j < cells.size(); ++j) {
      const size_t cell = static_cast<size_t>(cells[j]) * stride;
      double score = bias[j];
      for (size_t i = 0; i < head_size; ++i) score += double{query[i]} * number(keys[cell + i]);
      total += std::exp(score);
      for (size_t i = 0; i < head_size; ++i) mixed[i] += std::exp(score) * number(values[cell + i]);
    }
    double largest = 0;
    for (size_t i = 0; i < head_size; ++i) {
      const double error = std::fabs(mixed[i] / total - found[i]);
      if (!(error <= largest)) largest = error;
    }
    return largest;
  }
};

struct Cells {
  std::vector<uint16_t> keys;
  std::vector<uint16_t> values;
  Cells(size_t count, size_t stride, std::mt19937& random) {
    for (size_t i = 0; i < count * stride; ++i) {
      keys.push_back(random_half(random));
      values.push_back(random_half(random));
    }
  }
};

std::vector<float> normals(size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (auto& value : values) value = normal(random);
  return values;
}

/** Rows over keys whose bias moves by one key from row to row. */
struct Attended {
  size_t head_size;
  size_t rows;
  size_t count;
  size_t hidden = 0;  // of the first keys
  float mask = -INFINITY;
};

/** Some of the keys are masked: the largest error. */
double attention_error(const KernelSet& set, const Attended& attended, std::mt19937& random) {
  const auto [head_size, rows, count, hidden, masked] = attended;
  const Cells cells(count, head_size, random);
  std::vector<uint16_t> tiles(key_tiles_size(count, head_size));
  for (size_t j = 0; j < count; ++j) {
    for (size_t i = 0; i < head_size; ++i) {
      tiles[j / tile_keys * tile_keys * head_size + i * tile_keys + j % tile_keys] = cells.keys[j * head_size + i];
    }
  }
  const auto queries = normals(rows * head_size, random);
  const auto bias = normals(count + rows, random);
  std::vector<float> mask(count);
  for (size_t j = 1; j < count; ++j) mask[j] = random() % 7 == 0 ? masked : 0.0F;
  for (size_t j = 0; j < hidden; ++j) mask[j] = masked;
  mask.back() = 0;
  std::vector<float> output(rows * head_size);
  set.attend({queries.data(), head_size, rows, tiles.data(), cells.values.data(), head_size, count, &bias[rows], -1,
              mask.data(), output.data(), head_size});
  double largest = 0;
  for (size_t row = 0; row < rows; ++row) {
    Defined defined{head_size, &queries[row * head_size], cells.keys.data(), cells.values.data(), head_size, {}, {}};
    for (size_t j = 0; j < count; ++j) {
      defined.cells.push_back(static_cast<int32_t>(j));
      defined.bias.push_back(double{bias[rows - row + j]} + mask[j]);
    }
    const double error = defined.error_of(&output[row * head_size]);
    if (!(error <= largest)) largest = error;
  }
  return largest;
}

/** The second of two heads over `count` cells in a given order. */
double cell_attention_error(const KernelSet& set, size_t head_size, size_t count, std::mt19937& random) {
  const size_t stride = 2 * head_size;
  const Cells cells(64, stride, random);
  const auto query = normals(head_size, random);
  auto bias = normals(count, random);
  Defined defined{head_size, query.data(), &cells.keys[head_size], &cells.values[head_size], stride, {}, {}};
  for (size_t j = 0; j < count; ++j) {
    if (j > 0 && random() % 7 == 0) bias[j] = -INFINITY;
    defined.cells.push_back(static_cast<int32_t>(j * 37 % 64));
    defined.bias.push_back(bias[j]);
  }
  std::vector<float> output(head_size);
  set.attend_cells({query.data(), defined.keys, defined.values, stride, head_size, defined.cells.data(), count,
                    bias.data(), output.data()});
  return defined.error_of(output.data());
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::vector<Problem> problems;
  for (const auto type : packed_types) {
    const size_t inputs = has_superblocks(type) ? 512 : 96;
    for (size_t rows = 0; rows <= 26; ++rows) problems.push_back(problem_of({inputs, 37, rows, type}, random));
    problems.push_back(problem_of({3072, 48, 12, type}, random));
    problems.push_back(problem_of({has_superblocks(type) ? 256U : 32U, 1, 1, type}, random));
    problems.push_back(extremes_of(type));
    // Two panels of which the second is not full, and nothing to add to.
    for (size_t rows = 1; rows <= 7; ++rows) problems.push_back(problem_of({inputs, 27, rows, type, false}, random));
  }
  for (const auto* set : {&avx2, &avxvnni, &avx512vnni}) {
    size_t products = 0;
    size_t different = 0;
    for (const auto& problem : problems) {
      products += problem.shape.rows * problem.shape.outputs;
      different += differences(*set, problem);
    }
    size_t finite = 0;
    for (const auto& problem : problems) {
      if (problem.shape.outputs == 37) finite += wrongly_finite(*set, problem);
    }
    double error = 0;
    for (size_t rows = 1; rows <= max_attention_rows; ++rows) {
      for (const size_t count : {1, 53, 150}) error += attention_error(*set, {48, rows, count}, random);
    }
    for (const size_t head_size : {16, 64, 80, 128, 256}) {
      for (const size_t rows : {1, 2, 3, 7}) {
        for (const size_t count : {40, 64, 65}) error += attention_error(*set, {head_size, rows, count}, random);
      }
      for (const size_t count : {3, 16, 40}) error += cell_attention_error(*set, head_size, count, random);
    }
    // Nothing is seen before the second turn, by either of the masks that callers use.
    for (const float mask : {-INFINITY, std::numeric_limits<float>::lowest()}) {
      error += attention_error(*set, {64, 5, 150, 70, mask}, random);
    }
    for (size_t count = 1; count <= 53; ++count) error += cell_attention_error(*set, 48, count, random);
    std::printf("{\"kernels\": \"%s\", \"products\": %zu, \"different\": %zu, \"wronglyFinite\": %zu, \"attentionError\": %g}\n",
                set->name, products, different, finite, error);
  }
  return 0;
}
