#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** Some outputs of a product `[outputs, inputs] x [inputs, rows]`. */
struct PanelProduct {
  const std::byte* panels;  // of the first output
  size_t blocks;            // of 32 inputs
  size_t outputs;           // a multiple of 16 except at the end of a matrix
  const std::byte* activations;
  size_t activation_stride;  // bytes between rows
  size_t rows;
  float* result;  // [rows][result_stride]
  size_t result_stride;
  const float* addend;  // as `result`, or null: what the product is added to
};

/**
 * Packed products for one instruction set. All sets give the same numbers to the last bit: sums within a block are exact,
 * and every output adds its blocks in the same order with fused multiplications.
 */
struct KernelSet {
  const char* name;
  size_t quantized_block_bytes;
  /** Quantises whole blocks to 8 bits as ggml's q8_0 does, with scales in f32. NaN and infinity stay what they are. */
  void (*quantize)(const float* values, size_t blocks, std::byte* quantized);
  void (*multiply)(const PanelProduct& product);
};

}  // namespace tandem::kernels
