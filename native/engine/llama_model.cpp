#include "engine/llama_model.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "engine/error.h"
#include "engine/packed_buffer.h"

namespace tandem {

namespace {

/**
 * What libllama is told in place of the file's vocabulary: tokens come to us as numbers, and a table of 150,000 texts with
 * as many merges takes it 0.3 s. Ends, as libllama wants it, with an override without a name.
 */
std::array<llama_model_kv_override, 3> without_vocabulary(const DecoderOnlyOptions& options) {
  std::array<llama_model_kv_override, 3> overrides{};
  auto& kind = overrides[0];
  auto& size = overrides[1];
  kind.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
  std::snprintf(kind.key, sizeof(kind.key), "tokenizer.ggml.model");
  std::snprintf(kind.val_str, sizeof(kind.val_str), "none");
  size.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
  std::snprintf(size.key, sizeof(size.key), "%s.vocab_size", options.architecture.c_str());
  size.val_i64 = options.vocabulary_size;
  return overrides;
}

}  // namespace

LlamaModelHandle load_llama_model(const DecoderOnlyOptions& options, ggml_backend_dev_t device,
                                  const CancelFlag& cancel) {
  const Library& llama = library();
  const bool on_cpu = is_cpu(device);
  ggml_backend_dev_t devices[] = {on_cpu ? nullptr : device, nullptr};
  auto parameters = llama.llama_model_default_params();
  parameters.devices = devices;
  parameters.n_gpu_layers = on_cpu ? 0 : -1;
  parameters.split_mode = LLAMA_SPLIT_MODE_NONE;
  parameters.use_extra_bufts = !options.exact;
  const auto overrides = without_vocabulary(options);
  if (options.vocabulary_size > 0) parameters.kv_overrides = overrides.data();
  if (on_cpu) parameters.load_mode = LLAMA_LOAD_MODE_MMAP;
  const PackingScope packing({static_cast<size_t>(options.threads), on_cpu});
  parameters.progress_callback = [](float, void* flag) { return !is_cancelled(flag); };
  parameters.progress_callback_user_data = const_cast<CancelFlag*>(&cancel);
  take_log();
  LlamaModelHandle model(llama.llama_model_load_from_file(options.path.c_str(), parameters));
  // Among it a warning of tokens without texts, which is no complaint.
  const std::string log = take_log("dummy tokens");
  if (!model && cancel.load()) throw EngineError("aborted", "loading was cancelled");
  if (!model) throw EngineError("unsupported-model", "llama.cpp cannot load " + options.path + ". " + log);
  if (llama.llama_model_has_encoder(model.get())) {
    throw EngineError("unsupported-model", options.path + " has an encoder; it is no decoder-only model");
  }
  return model;
}

LlamaContextHandle open_llama_context(llama_model* model, const DecoderOnlyOptions& options, const CancelFlag& cancel) {
  const Library& llama = library();
  auto parameters = llama.llama_context_default_params();
  parameters.n_ctx = static_cast<uint32_t>(options.context_size);
  parameters.n_batch = static_cast<uint32_t>(options.batch_size);
  parameters.n_ubatch = static_cast<uint32_t>(options.batch_size);
  // One more, in which a past waits while rows trade places. libllama keeps a row of logits for each.
  parameters.n_seq_max = static_cast<uint32_t>(options.max_sequences + 1);
  parameters.n_outputs_max = std::max(parameters.n_seq_max, 1U);
  parameters.n_threads = options.threads;
  parameters.n_threads_batch = options.threads;
  parameters.kv_unified = true;
  parameters.type_k = options.kv_type;
  parameters.type_v = options.kv_type;
  // With flash attention the logits differ from the reference by 1e-2 even in f32.
  parameters.flash_attn_type = options.exact ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
  parameters.abort_callback = is_cancelled;
  parameters.abort_callback_data = const_cast<CancelFlag*>(&cancel);
  LlamaContextHandle context(llama.llama_init_from_model(model, parameters));
  if (!context) throw EngineError("out-of-memory", "llama.cpp cannot open a context. " + take_log());
  if (llama.llama_get_memory(context.get()) == nullptr) {
    throw EngineError("unsupported-model", options.path + " keeps no past; it is no decoder-only model");
  }
  return context;
}

}  // namespace tandem
