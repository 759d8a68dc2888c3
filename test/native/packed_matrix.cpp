// Any part of a packed matrix reads as the file has it, and can be replaced so. Prints the number of differences as JSON.
#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/packed_memory.h"

using namespace tandem::kernels;

namespace {

std::vector<std::byte> random_bytes(size_t count, std::mt19937& generator) {
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(generator());
  return bytes;
}

struct Unit {
  size_t inputs;
  size_t bytes;
};

/** What ggml calls a block. */
Unit unit_of(PackedType type) {
  switch (type) {
    case PackedType::q8_0: return {32, 34};
    case PackedType::q4_0: return {32, 18};
    case PackedType::q4_1: return {32, 20};
    case PackedType::q5_0: return {32, 22};
    case PackedType::q5_1: return {32, 24};
    case PackedType::q4_k: return {256, 144};
    case PackedType::q5_k: return {256, 176};
    case PackedType::q6_k: return {256, 210};
  }
  return {};
}

/** Differences after parts of any place and size have been read and replaced. */
size_t differences(const PackedShape& shape, std::mt19937& generator) {
  const auto [type, inputs, outputs] = shape;
  const auto [unit_inputs, unit_bytes] = unit_of(type);
  const size_t size = inputs / unit_inputs * unit_bytes * outputs;
  const PackedMemory memory(shape.bytes());
  PackedMatrix matrix(shape, memory.data());
  std::vector<std::byte> expected = random_bytes(size, generator);
  matrix.pack(0, outputs, expected.data());
  size_t different = 0;
  for (int turn = 0; turn < 200; ++turn) {
    const size_t offset = generator() % size;
    const size_t length = 1 + generator() % (size - offset);
    std::vector<std::byte> found(length);
    matrix.read(offset, length, found.data());
    for (size_t i = 0; i < length; ++i) different += found[i] != expected[offset + i] ? 1 : 0;
    const auto part = random_bytes(1 + generator() % length, generator);
    matrix.write(offset, part.size(), part.data());
    std::copy(part.begin(), part.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  // What has been replaced in parts is what packing it at once gives.
  const PackedMemory again_memory(shape.bytes());
  PackedMatrix again(shape, again_memory.data());
  again.pack(0, outputs, expected.data());
  std::vector<float> row(inputs);
  std::vector<float> again_row(inputs);
  for (size_t output = 0; output < outputs; ++output) {
    matrix.unpack_row(output, row.data());
    again.unpack_row(output, again_row.data());
    for (size_t i = 0; i < inputs; ++i) {
      const bool both_nan = row[i] != row[i] && again_row[i] != again_row[i];
      different += row[i] == again_row[i] || both_nan ? 0 : 1;
    }
  }
  return different;
}

}  // namespace

int main() {
  std::mt19937 generator(1);
  size_t different = 0;
  size_t matrices = 0;
  for (const size_t inputs : {32, 96, 256, 768, 896}) {
    for (const size_t outputs : {1, 15, 16, 17, 50}) {
      for (const auto type : packed_types) {
        if (inputs % unit_of(type).inputs != 0) continue;
        different += differences({type, inputs, outputs}, generator);
        ++matrices;
      }
    }
  }
  std::printf("{\"matrices\":%zu,\"different\":%zu}\n", matrices, different);
}
