#pragma once
#include <ggml-backend-impl.h>
#include <ggml.h>

#include "kernels/kernel_set.h"

struct ggml_threadpool;

namespace tandem {

/** What a buffer type needs of ggml beside its table of functions. */
struct PackedBufferFunctions {
  void (*barrier)(ggml_threadpool*) = nullptr;
  decltype(&::ggml_backend_buffer_init) buffer_init = nullptr;
  decltype(&::ggml_nbytes) nbytes = nullptr;
};

/** The process's buffer type for matrices in panels, for good; to be made once. */
ggml_backend_buffer_type_t packed_buffer_type(ggml_backend_dev_t cpu, const kernels::KernelSet& kernel_set,
                                              const PackedBufferFunctions& functions);

/** How matrices are packed while libllama loads a model. */
struct Packing {
  size_t threads = 1;
  bool from_mapped_file = false;  // whose pages are then given back
};

/** Holds for what this thread loads while the scope lives. */
class PackingScope {
 public:
  explicit PackingScope(const Packing& wanted);
  ~PackingScope();
  PackingScope(const PackingScope&) = delete;
  PackingScope& operator=(const PackingScope&) = delete;
};

}  // namespace tandem
