#pragma once
#include "kernels/packed_layout.h"

namespace tandem::kernels {

/** Panels that a set may multiply side by side: threads that share a product leave them together. */
constexpr size_t panels_together = 2;

/** How activations become what a product reads. */
struct Quantization {
  size_t block_bytes;
  /** Quantises whole blocks to 8 bits as ggml's q8_0 does, with scales in f32. NaN and infinity end as NaN. */
  void (*quantize)(const float* values, size_t blocks, std::byte* quantized);
};

/** Some outputs of a product `[outputs, inputs] x [inputs, rows]`. */
struct PanelProduct {
  PackedType type;
  const std::byte* panels;  // of the first output
  size_t blocks;            // of 32 inputs
  size_t outputs;           // a multiple of 16 except at the end of a matrix
  const std::byte* activations;  // quantised for the type
  size_t activation_stride;  // bytes between rows
  size_t rows;
  float* result;  // [rows][result_stride]
  size_t result_stride;
  const float* addend;  // as `result`, or null: what the product is added to
};

/** Limits of one call of an attention kernel, whose working memory is on the stack. */
constexpr size_t max_attention_rows = 24;
constexpr size_t max_head_size = 256;
/** Heads are whole vectors of every instruction set. */
constexpr size_t head_size_multiple = 16;
/** Keys that are scored side by side, one in each lane of the vectors. */
constexpr size_t tile_keys = 16;

/** Halves that a head's keys take in tiles. */
constexpr size_t key_tiles_size(size_t count, size_t head_size) {
  return (count + tile_keys - 1) / tile_keys * tile_keys * head_size;
}

/** One head of attention (Vaswani et al. 2017) of rows that see the same keys. */
struct Attention {
  const float* queries;  // [rows][query_stride]
  size_t query_stride;
  size_t rows;
  const uint16_t* keys;    // half precision, in tiles: [tile][head_size][16]
  const uint16_t* values;  // half precision, [count][head_size]
  size_t head_size;
  size_t count;
  const float* bias;       // [count] of the first row, added to its scores, or null
  ptrdiff_t bias_stride;   // from one row's to the next one's
  const float* mask;       // [count], added to the scores of every row, or null
  float* output;           // [rows][output_stride]
  size_t output_stride;
  float scale = 1;  // of the scores, before the bias
  float softcap = 0;  // scores become softcap * tanh(score / softcap) before the bias; 0: they do not
  float* log_sums = nullptr;  // [rows] logarithms of the sums of the exponentials of the scores, or null
};

/** One head of one row over cells that lie anywhere. */
struct CellAttention {
  const float* query;
  const uint16_t* keys;  // half precision, `head_size` values at `cell * cell_stride`
  const uint16_t* values;
  size_t cell_stride;
  size_t head_size;
  const int32_t* cells;  // [count]
  size_t count;
  const float* bias;  // [count], added to the scores
  float* output;
  float scale = 1;
  float softcap = 0;
  float* log_sum = nullptr;
};

/** One head's keys and values of some cells. */
struct CellRows {
  const uint16_t* keys;  // half precision, `head_size` values at `cell * cell_stride`
  const uint16_t* values;
  size_t cell_stride;
  size_t head_size;
  const int32_t* cells;  // [count]
  size_t count;
};

/**
 * What one instruction set computes. Products are the same to the last bit in all sets as long as the scales of the weights are
 * finite: sums within a block are exact, and every output adds its blocks in the same order with fused multiplications. A scale
 * that is no number, or infinite, makes its products something that is not finite.
 */
struct KernelSet {
  const char* name;
  Quantization for_bytes;
  Quantization for_narrow;
  /** One object where both are the same. */
  const Quantization& quantization(PackedType weights) const {
    return is_narrow(weights) && for_narrow.quantize != for_bytes.quantize ? for_narrow : for_bytes;
  }
  void (*multiply)(const PanelProduct& product);
  /** Rounds whole vectors of 16 to half precision. */
  void (*to_halves)(const float* values, size_t count, uint16_t* halves);
  void (*to_floats)(const uint16_t* halves, size_t count, float* values);
  /** Brings cells into the order of `Attention`: tiles of keys, the last one filled up with zeros, and `[count, head_size]`. */
  void (*pack_cells)(const CellRows& rows, uint16_t* tiles, uint16_t* values);
  void (*attend)(const Attention& attention);
  void (*attend_cells)(const CellAttention& attention);
};

}  // namespace tandem::kernels
