#include "engine/handles.h"

#include <string>

#include "engine/error.h"

namespace tandem {

ContextHandle new_description_context(size_t tensors) {
  const Library& llama = library();
  ggml_init_params parameters{llama.ggml_tensor_overhead() * tensors, nullptr, true};
  ContextHandle context(llama.ggml_init(parameters));
  if (!context) throw EngineError("out-of-memory", "no memory for the descriptions of tensors");
  return context;
}

BufferHandle allocate_tensors(ggml_context* context, ggml_backend_buffer_type_t type, const char* purpose) {
  BufferHandle buffer(library().ggml_backend_alloc_ctx_tensors_from_buft(context, type));
  if (!buffer) throw EngineError("out-of-memory", std::string("not enough memory for ") + purpose);
  return buffer;
}

}  // namespace tandem
