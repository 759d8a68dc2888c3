#pragma once
#include <cstddef>
#include <cstdint>

namespace tandem {

/**
 * Finite values of at most 65504, whole blocks of 32 -> ggml's q8_0, 34 bytes for each block, to the last bit those of its
 * reference quantiser. That one takes a value at a time and calls roundf for it: a third of the time of a conversion.
 */
void quantize_q8_0(const float* values, size_t blocks, uint8_t* target);

}  // namespace tandem
