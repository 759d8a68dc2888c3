#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/handles.h"
#include "kernels/kernel_set.h"
#include "kernels/packed_matrix.h"
#include "kernels/packed_memory.h"

namespace tandem {

/** One entry of a GGUF file's tensor table, checked against the file in TypeScript. */
struct TensorDescription {
  std::string name;
  ggml_type type;
  std::vector<int64_t> shape;  // row length first
  uint64_t offset;             // absolute, bytes
  uint64_t size;               // bytes
};

/**
 * Types that ggml's CPU backend both multiplies with and reads single rows of: what a matrix of a model may have, and so
 * what conversions write.
 */
bool is_matrix_type(ggml_type type);

/** Where weights go and how. */
struct WeightsPlace {
  ggml_backend_dev_t device;
  /** What multiplies matrices that can be packed; null: ggml, and the weights stay as the file has them. */
  const kernels::KernelSet* kernel_set;
  int32_t threads;  // that read a file into the memory of a CPU
};

/** The packed form of a matrix, which then has no memory of ggml's; null when it has. */
inline const kernels::PackedMatrix* packed_form(const ggml_tensor* matrix) {
  return static_cast<const kernels::PackedMatrix*>(matrix->extra);
}

/** The weights of a model in the memory of one device. */
class Weights {
 public:
  /** Reads the file. Throws EngineError `io`, `invalid-file`, `out-of-memory` or `aborted`. */
  Weights(const std::string& path, const std::vector<TensorDescription>& tensors, const WeightsPlace& place,
          const CancelFlag& cancel);

  /** What a tensor is for decides which types ggml computes with. */
  enum class Use { matrix, vector };
  /** Throws EngineError `invalid-file` unless the tensor is there with this shape and a type for this use. */
  ggml_tensor* require(const std::string& name, const std::vector<int64_t>& shape, Use use = Use::matrix) const;
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  size_t bytes() const;

 private:
  ggml_tensor* describe(const TensorDescription& entry, const WeightsPlace& place);

  ContextHandle context_;
  ContextHandle packed_context_;  // the tensors that have a packed form
  BufferHandle buffer_;
  kernels::PackedMemory packed_memory_;
  size_t packed_bytes_ = 0;  // of that memory, taken
  std::vector<std::unique_ptr<kernels::PackedMatrix>> packed_;
  std::unordered_map<std::string, ggml_tensor*> tensors_;
};

}  // namespace tandem
