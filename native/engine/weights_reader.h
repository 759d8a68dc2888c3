#pragma once
#include "engine/weights.h"

namespace tandem {

/** Where one tensor of a file goes. */
struct WeightsTarget {
  const TensorDescription& entry;
  ggml_tensor* tensor;
  kernels::PackedMatrix* packed;  // null: into the memory of the tensor
};

/** Reads a file on `threads` threads. Throws EngineError `io` or `aborted`. */
void read_weights(const std::string& path, const std::vector<WeightsTarget>& targets, int32_t threads,
                  const CancelFlag& cancel);

}  // namespace tandem
