#pragma once
#include <cstdint>
#include <vector>

#include "engine/engine.h"
#include "engine/library.h"
#include "kernels/kernel_set.h"

namespace tandem {

/** A matrix `[inputs, outputs]` of a type that can be packed times rows of activations. */
struct MatrixProduct {
  std::vector<uint8_t> weights;    // rows of the type
  std::vector<float> activations;  // [rows][inputs]
  int64_t inputs;
  ggml_type type;
  const kernels::KernelSet* kernel_set;  // null: ggml
  int32_t threads;
};

/** Throws EngineError `invalid-argument` unless the sizes are those of whole rows. */
void check_product(const MatrixProduct& product);

/** `[rows][outputs]`, computed as a layer of a model is. */
std::vector<float> multiply_matrix(const MatrixProduct& product, const CancelFlag& cancel);

}  // namespace tandem
