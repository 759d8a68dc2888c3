#pragma once
#include <cstddef>
#include <cstdint>

#include "engine/library.h"

namespace tandem {

/** Where the values of a row of f32 begin, or one of them. */
inline float* floats_at(const ggml_tensor* tensor, int64_t row, int64_t column = 0) {
  return reinterpret_cast<float*>(static_cast<std::byte*>(tensor->data) + static_cast<size_t>(row) * tensor->nb[1]) + column;
}

}  // namespace tandem
