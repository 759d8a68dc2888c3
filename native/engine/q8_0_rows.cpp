#include "engine/q8_0_rows.h"

#include <cstring>

#include "engine/library.h"

namespace tandem {

namespace {

constexpr size_t block_values = 32;
constexpr size_t block_bytes = sizeof(ggml_fp16_t) + block_values;
constexpr float smallest_scale = 2.94e-39F;

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/** As integers, which order like floats without their signs and of which compilers compare several at once. */
float largest_size(const float* values) {
  uint32_t largest = 0;
  for (size_t i = 0; i < block_values; ++i) {
    const uint32_t size = bits_of(values[i]) & 0x7fffffffU;
    largest = size > largest ? size : largest;
  }
  return float_of(largest);
}

/** Halves away from zero, as roundf: what is cut off after adding the number before 0.5 with the value's sign. */
int32_t rounded(float value) {
  const uint32_t before_half = 0x3effffffU;
  return static_cast<int32_t>(value + float_of(before_half | (bits_of(value) & 0x80000000U)));
}

}  // namespace

void quantize_q8_0(const float* values, size_t blocks, uint8_t* target) {
  for (size_t block = 0; block < blocks; ++block, values += block_values, target += block_bytes) {
    const float scale = largest_size(values) / 127.0F;
    // The reciprocal of a scale below 2^-128 is infinite; as a half such a scale is 0, whatever it is multiplied with.
    const float inverse = scale >= smallest_scale ? 1.0F / scale : 0.0F;
    const ggml_fp16_t half = library().ggml_fp32_to_fp16(scale);
    std::memcpy(target, &half, sizeof(half));
    int8_t quantized[block_values];
    for (size_t i = 0; i < block_values; ++i) quantized[i] = static_cast<int8_t>(rounded(values[i] * inverse));
    std::memcpy(target + sizeof(half), quantized, sizeof(quantized));
  }
}

}  // namespace tandem
