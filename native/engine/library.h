#pragma once
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>

#include <optional>
#include <string>
#include <vector>

#include "kernels/kernel_set.h"

// Every llama.cpp function that Tandem calls, by the library that exports it. The addon is not linked to llama.cpp: the
// prebuilt libraries are opened by path and this list is looked up, so that a second release in the process can never
// bind to ours (libggml-base has an unversioned SONAME), and so that one addon serves every variant.
#define TANDEM_GGML_BASE_FUNCTIONS(F)                                                                                   \
  F(ggml_add) F(ggml_backend_alloc_ctx_tensors_from_buft) F(ggml_backend_buffer_free) F(ggml_backend_buffer_get_size)   \
  F(ggml_backend_buffer_set_usage) F(ggml_backend_dev_backend_reg) F(ggml_backend_dev_buffer_type)                      \
  F(ggml_backend_dev_description) F(ggml_backend_dev_init) F(ggml_backend_dev_memory) F(ggml_backend_dev_name)          \
  F(ggml_backend_dev_type) F(ggml_backend_free) F(ggml_backend_get_device) F(ggml_backend_reg_get_proc_address)         \
  F(ggml_backend_reg_name) F(ggml_backend_sched_alloc_graph) F(ggml_backend_sched_free)                                 \
  F(ggml_backend_sched_graph_compute) F(ggml_backend_sched_new) F(ggml_backend_sched_reset)                             \
  F(ggml_backend_tensor_get) F(ggml_backend_tensor_set) F(ggml_blck_size) F(ggml_build_forward_expand) F(ggml_concat)   \
  F(ggml_cont) F(ggml_cont_2d) F(ggml_cpy) F(ggml_custom_4d) F(ggml_custom_inplace) F(ggml_fp32_to_fp16) F(ggml_free)   \
  F(ggml_gelu) F(ggml_gelu_erf) F(ggml_get_rows) F(ggml_get_type_traits) F(ggml_graph_overhead_custom) F(ggml_init)     \
  F(ggml_log_get) F(ggml_log_set) F(ggml_mul) F(ggml_mul_mat) F(ggml_nbytes) F(ggml_new_graph_custom)                   \
  F(ggml_new_tensor) F(ggml_new_tensor_1d) F(ggml_new_tensor_2d) F(ggml_new_tensor_3d) F(ggml_new_tensor_4d)            \
  F(ggml_permute) F(ggml_quantize_chunk) F(ggml_relu) F(ggml_reshape_2d) F(ggml_reshape_3d) F(ggml_reshape_4d)          \
  F(ggml_rms_norm) F(ggml_row_size) F(ggml_scale) F(ggml_scale_bias) F(ggml_set_input) F(ggml_set_name)                 \
  F(ggml_set_output) F(ggml_set_rows) F(ggml_silu) F(ggml_soft_max) F(ggml_sqr) F(ggml_tanh) F(ggml_tensor_overhead)    \
  F(ggml_threadpool_params_default) F(ggml_type_name) F(ggml_view_2d) F(ggml_view_3d)
#define TANDEM_GGML_FUNCTIONS(F) \
  F(ggml_backend_dev_by_type) F(ggml_backend_dev_count) F(ggml_backend_dev_get) F(ggml_backend_load_all_from_path)
#define TANDEM_LLAMA_FUNCTIONS(F)                                                                                       \
  F(llama_attach_threadpool) F(llama_backend_init) F(llama_batch_free) F(llama_batch_init)                              \
  F(llama_context_default_params) F(llama_decode) F(llama_detokenize) F(llama_free) F(llama_get_embeddings_ith)         \
  F(llama_get_logits_ith) F(llama_get_memory) F(llama_init_from_model) F(llama_log_get) F(llama_log_set)                \
  F(llama_memory_seq_cp) F(llama_memory_seq_pos_min) F(llama_memory_seq_rm) F(llama_model_default_params)               \
  F(llama_model_free)                                                                                                   \
  F(llama_model_get_vocab) F(llama_model_has_encoder) F(llama_model_load_from_file) F(llama_model_n_ctx_train)          \
  F(llama_model_n_embd_out) F(llama_model_n_swa) F(llama_model_size) F(llama_n_batch) F(llama_n_ctx)                    \
  F(llama_n_threads) F(llama_set_abort_callback) F(llama_set_embeddings) F(llama_set_n_threads)                         \
  F(llama_token_to_piece) F(llama_tokenize) F(llama_vocab_bos) F(llama_vocab_eos) F(llama_vocab_get_add_bos)            \
  F(llama_vocab_get_add_eos) F(llama_vocab_get_attr) F(llama_vocab_get_text) F(llama_vocab_is_eog)                      \
  F(llama_vocab_n_tokens) F(llama_vocab_type)

namespace tandem {

/** Where the libraries of one variant lie; found and checked by src/native/library.ts. */
struct LibraryFiles {
  std::string variant;
  std::string directory;
  std::string ggml_base;
  std::string ggml;
  std::string llama;
};

/** The table of function pointers. Read-only once it is filled. */
struct Library {
#define TANDEM_DECLARE(name) decltype(&::name) name = nullptr;
  TANDEM_GGML_BASE_FUNCTIONS(TANDEM_DECLARE)
  TANDEM_GGML_FUNCTIONS(TANDEM_DECLARE)
  TANDEM_LLAMA_FUNCTIONS(TANDEM_DECLARE)
#undef TANDEM_DECLARE
};

struct Device {
  std::string name;
  std::string description;
  std::string type;
  std::string backend;
  size_t memory_free;
  size_t memory_total;
};

/**
 * Opens the libraries, once per process, and has libllama multiply with `kernel_set` where that can be done safely; null
 * leaves everything to ggml. Throws EngineError `library-missing` or `library-conflict`.
 */
void load_library(const LibraryFiles& files, const kernels::KernelSet* kernel_set);

/** What multiplies packed matrices in libllama: a kernel set, or ggml and why. */
struct LibllamaKernels {
  const kernels::KernelSet* kernel_set = nullptr;
  std::string reason;
};

/** Throws EngineError `library-missing` before `load_library`. */
const LibllamaKernels& libllama_kernels();

/** The filled table. Throws EngineError `library-missing` before `load_library`. */
const Library& library();

/** Folder of a `libggml-base` that this process has mapped, by us or by someone else. */
std::optional<std::string> mapped_library();

/** Opens a shared library for good; the reason if it cannot be opened. */
std::optional<std::string> probe_library(const std::string& path);

std::vector<Device> devices();

/** Throws EngineError `device-unavailable` that lists what there is. */
ggml_backend_dev_t device_named(const std::string& name);

bool is_cpu(ggml_backend_dev_t device);

/** A function of the library of a device's backend, whose file only ggml knows; null where it has none of that name. */
template <typename Function>
Function* backend_function(ggml_backend_dev_t device, const char* name) {
  const Library& llama = library();
  return reinterpret_cast<Function*>(
      llama.ggml_backend_reg_get_proc_address(llama.ggml_backend_dev_backend_reg(device), name));
}

/**
 * What llama.cpp logged as warnings and errors on this thread since the last call, but for lines with `known` in them; for
 * error messages.
 */
std::string take_log(const std::string& known = "");

}  // namespace tandem
