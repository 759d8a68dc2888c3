#pragma once
#include <memory>

#include "engine/library.h"

namespace tandem {

// Owners of ggml objects. The deleters look the function up when they run, so that no address of llama.cpp is needed
// before its libraries are open.
struct Free {
  void operator()(ggml_context* context) const { library().ggml_free(context); }
  void operator()(ggml_backend* backend) const { library().ggml_backend_free(backend); }
  void operator()(ggml_backend_buffer* buffer) const { library().ggml_backend_buffer_free(buffer); }
  void operator()(ggml_backend_sched* scheduler) const { library().ggml_backend_sched_free(scheduler); }
  void operator()(llama_model* model) const { library().llama_model_free(model); }
  void operator()(llama_context* context) const { library().llama_free(context); }
};

using ContextHandle = std::unique_ptr<ggml_context, Free>;
using BackendHandle = std::unique_ptr<ggml_backend, Free>;
using BufferHandle = std::unique_ptr<ggml_backend_buffer, Free>;
using SchedulerHandle = std::unique_ptr<ggml_backend_sched, Free>;
using LlamaModelHandle = std::unique_ptr<llama_model, Free>;
using LlamaContextHandle = std::unique_ptr<llama_context, Free>;

/** A context that holds only descriptions of up to `tensors` tensors; their data lies in backend buffers. */
ContextHandle new_description_context(size_t tensors);

/** Gives all tensors of `context` memory of `type`. Throws EngineError `out-of-memory`, naming `purpose`. */
BufferHandle allocate_tensors(ggml_context* context, ggml_backend_buffer_type_t type, const char* purpose);

}  // namespace tandem
