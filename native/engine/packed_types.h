#pragma once
#include <optional>

#include "engine/library.h"
#include "kernels/packed_layout.h"

namespace tandem {

/** What matrices of a type of ggml's are packed as; nothing where ggml multiplies them. */
inline std::optional<kernels::PackedType> packed_type(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q8_0: return kernels::PackedType::q8_0;
    case GGML_TYPE_Q4_0: return kernels::PackedType::q4_0;
    case GGML_TYPE_Q4_1: return kernels::PackedType::q4_1;
    case GGML_TYPE_Q5_0: return kernels::PackedType::q5_0;
    case GGML_TYPE_Q5_1: return kernels::PackedType::q5_1;
    case GGML_TYPE_Q4_K: return kernels::PackedType::q4_k;
    case GGML_TYPE_Q5_K: return kernels::PackedType::q5_k;
    case GGML_TYPE_Q6_K: return kernels::PackedType::q6_k;
    default: return std::nullopt;
  }
}

}  // namespace tandem
