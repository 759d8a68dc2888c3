#pragma once
#include <string>

#include "engine/engine.h"
#include "engine/handles.h"

namespace tandem {

struct DecoderOnlyOptions : EngineOptions {
  int32_t context_size = 0;
  int32_t max_sequences = 0;
  int32_t batch_size = 0;
  int32_t position_limit = 0;  // 0: none; models with learned positions have a table that ends
  std::string architecture;
  int32_t vocabulary_size = 0;  // 0: libllama reads the vocabulary, which nobody asks it for
};

/**
 * The model of a file on a device, without its vocabulary; on a CPU its weights are packed for our kernels where they can be.
 * Throws EngineError `unsupported-model`, or `aborted`.
 */
LlamaModelHandle load_llama_model(const DecoderOnlyOptions& options, ggml_backend_dev_t device, const CancelFlag& cancel);

/** One unified store of keys and values for all sequences. Throws EngineError `out-of-memory` or `unsupported-model`. */
LlamaContextHandle open_llama_context(llama_model* model, const DecoderOnlyOptions& options, const CancelFlag& cancel);

}  // namespace tandem
