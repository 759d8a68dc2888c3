#pragma once
#include <cstdint>
#include <vector>

#include "engine/engine.h"
#include "engine/library.h"

namespace tandem {

/** Rows of one type that become rows of another. */
struct RowConversion {
  ggml_type from;
  ggml_type to;
  int64_t row_length;  // values, whole blocks of both types
  int32_t threads;
};

/** Throws EngineError `invalid-argument` unless ggml can read the one type, write the other, and `bytes` are whole rows. */
void check_conversion(const RowConversion& conversion, size_t bytes);

/**
 * ggml's own conversions, on threads of their own. Every row is converted by itself, so the result does not depend on
 * their number. Throws EngineError `aborted`, or `invalid-file` for a value that the new type cannot hold.
 */
std::vector<uint8_t> convert_rows(const std::vector<uint8_t>& source, const RowConversion& conversion,
                                  const CancelFlag& cancel);

}  // namespace tandem
