#include "engine/packed_buffer.h"

#if defined(__linux__) && defined(__x86_64__)
#include <ggml-cpu/traits.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "engine/flash_attention.h"
#include "engine/packed_types.h"
#include "engine/parallel.h"
#include "engine/product_pieces.h"
#include "kernels/packed_matrix.h"
#include "kernels/packed_memory.h"

// Declared by ggml's header, but not exported by its libraries.
ggml::cpu::tensor_traits::~tensor_traits() = default;
ggml::cpu::extra_buffer_type::~extra_buffer_type() = default;

namespace tandem {

namespace {

/** In front of the quantised rows: the part that is to be computed next. */
constexpr size_t counter_bytes = kernels::cache_line;
/** Bytes that a thread packs before it asks for more. */
constexpr size_t packed_at_once = 1 << 20;

struct PluggedType {
  ggml_backend_buffer_type type;
  const kernels::KernelSet* kernel_set;
  PackedBufferFunctions functions;
};
// Process-wide like the list that it is in.
PluggedType* packed = nullptr;
// libllama sets tensors on the thread that loads the model.
thread_local Packing packing;

/** Pages of a mapped file that have been packed would stay in the process's memory beside their copy. */
void forget(const std::byte* source, size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(source);
  const uintptr_t first = (address + page - 1) / page * page;
  const uintptr_t end = (address + size) / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

/** libllama also puts tensors that it never computes with into the first buffer type: they stay what they are. */
bool is_packed(const ggml_tensor* tensor) {
  return packed_type(tensor->type) && tensor->view_src == nullptr && tensor->ne[1] > 1 && tensor->ne[2] == 1 &&
         tensor->ne[3] == 1;
}

kernels::PackedShape shape_of(const ggml_tensor* tensor) {
  return {*packed_type(tensor->type), static_cast<size_t>(tensor->ne[0]), static_cast<size_t>(tensor->ne[1])};
}

kernels::PackedMatrix matrix_of(const ggml_tensor* tensor) {
  return {shape_of(tensor), static_cast<std::byte*>(tensor->data)};
}

/** Whether `operation` does that, a product or a look at rows, with a weight that is packed. */
bool works_on_packed(const ggml_tensor* operation, ggml_op what) {
  const ggml_tensor* weight = operation->src[0];
  return operation->op == what && weight->buffer != nullptr && weight->buffer->buft == &packed->type && is_packed(weight);
}

/** libllama also takes a view of this one (gemma3n.cpp, gemma4.cpp), whose bytes ggml reads as the file's. */
bool is_viewed(const ggml_tensor* weight) { return std::strstr(weight->name, "per_layer_token_embd") != nullptr; }

/** A product of a packed weight `[inputs, outputs]` and activations `[inputs, n, ...]` in f32. */
class PackedProduct : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int, const ggml_tensor* operation, size_t& size) override {
    size = counter_bytes + row_bytes(operation) * row_count(operation->src[1]);
    return true;
  }

  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    const auto thread = static_cast<size_t>(params->ith);
    const auto threads = static_cast<size_t>(params->nth);
    auto* quantized = static_cast<std::byte*>(params->wdata) + counter_bytes;
    auto* next = static_cast<std::atomic<size_t>*>(params->wdata);
    if (thread == 0) new (next) std::atomic<size_t>(0);
    quantize(operation, {thread, threads}, quantized);
    packed->functions.barrier(params->threadpool);
    const size_t count = PanelPieces::count(threads);
    const PanelPieces pieces(matrix_of(operation->src[0]).panel_count(), count);
    for (size_t piece = (*next)++; piece < count; piece = (*next)++) {
      const size_t first = pieces.first(piece);
      const size_t end = pieces.first(piece + 1);
      if (first < end) multiply(operation, first, end, quantized);
    }
    return true;
  }

 private:
  struct Share {
    size_t thread;
    size_t threads;
  };

  static size_t row_count(const ggml_tensor* tensor) {
    return static_cast<size_t>(tensor->ne[1] * tensor->ne[2] * tensor->ne[3]);
  }
  static const kernels::Quantization& quantization_of(const ggml_tensor* operation) {
    return packed->kernel_set->quantization(shape_of(operation->src[0]).type);
  }
  static size_t blocks_of(const ggml_tensor* operation) {
    return static_cast<size_t>(operation->src[0]->ne[0]) / kernels::block_inputs;
  }
  static size_t row_bytes(const ggml_tensor* operation) {
    return blocks_of(operation) * quantization_of(operation).block_bytes;
  }

  static void quantize(const ggml_tensor* operation, Share share, std::byte* quantized) {
    const ggml_tensor* x = operation->src[1];
    const kernels::Quantization& quantization = quantization_of(operation);
    const size_t bytes = row_bytes(operation);
    const auto rows = static_cast<size_t>(x->ne[1]);
    const auto planes = static_cast<size_t>(x->ne[2]);
    for (size_t row = share.thread; row < row_count(x); row += share.threads) {
      const size_t offset =
          row % rows * x->nb[1] + row / rows % planes * x->nb[2] + row / rows / planes * x->nb[3];
      quantization.quantize(reinterpret_cast<const float*>(static_cast<const std::byte*>(x->data) + offset),
                            blocks_of(operation), quantized + row * bytes);
    }
  }

  /** The outputs of some panels; who computes them changes no sum. */
  static void multiply(ggml_tensor* operation, size_t first_panel, size_t panel_end, const std::byte* quantized) {
    const kernels::PackedMatrix matrix = matrix_of(operation->src[0]);
    const size_t rows = row_count(operation->src[1]);
    const size_t bytes = row_bytes(operation);
    const size_t stride = operation->nb[1] / sizeof(float);  // results of products are contiguous
    const size_t output = first_panel * kernels::panel_outputs;
    const size_t end = std::min(panel_end * kernels::panel_outputs, matrix.outputs());
    const size_t pieces = row_pieces(rows, bytes);
    for (size_t piece = 0; piece < pieces; ++piece) {
      const size_t first = rows * piece / pieces;
      packed->kernel_set->multiply({matrix.type(), matrix.panels(output), matrix.blocks(), end - output,
                                    quantized + first * bytes, bytes, rows * (piece + 1) / pieces - first,
                                    static_cast<float*>(operation->data) + first * stride + output, stride, nullptr});
    }
  }
};

/** Rows of a packed matrix by their numbers: a model whose head is its token embedding needs no second copy of it. */
class PackedRows : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int, const ggml_tensor*, size_t& size) override {
    size = 0;
    return true;
  }

  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    const kernels::PackedMatrix matrix = matrix_of(operation->src[0]);
    const ggml_tensor* numbers = operation->src[1];
    for (int64_t i = params->ith; i < numbers->ne[0]; i += params->nth) {
      const auto number = *reinterpret_cast<const int32_t*>(static_cast<const std::byte*>(numbers->data) +
                                                            static_cast<size_t>(i) * numbers->nb[0]);
      matrix.unpack_row(static_cast<size_t>(number),
                        reinterpret_cast<float*>(static_cast<std::byte*>(operation->data) +
                                                 static_cast<size_t>(i) * operation->nb[1]));
    }
    return true;
  }
};

class PackedOperations : public ggml::cpu::extra_buffer_type {
 public:
  PackedOperations(const kernels::KernelSet& kernel_set, const PackedBufferFunctions& functions)
      : attention_(kernel_set, functions.barrier) {}

  bool supports_op(ggml_backend_dev_t, const ggml_tensor* operation) override {
    const ggml_tensor* x = operation->src[1];
    const bool is_product = works_on_packed(operation, GGML_OP_MUL_MAT) && x->type == GGML_TYPE_F32;
    const bool is_rows = works_on_packed(operation, GGML_OP_GET_ROWS) && !is_viewed(operation->src[0]) &&
                         x->type == GGML_TYPE_I32 && x->ne[1] == 1 && x->ne[2] == 1 && x->ne[3] == 1;
    if ((!is_product && !is_rows) || operation->type != GGML_TYPE_F32) return false;
    if (x->buffer == nullptr) return true;
    const auto is_host = x->buffer->buft->iface.is_host;
    return is_host != nullptr && is_host(x->buffer->buft);
  }

  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* operation) override {
    if (works_on_packed(operation, GGML_OP_MUL_MAT)) return &product_;
    if (works_on_packed(operation, GGML_OP_GET_ROWS)) return &rows_;
    if (operation->op != GGML_OP_FLASH_ATTN_EXT) return nullptr;
    const bool is_ours = FlashAttention::computes(operation);
    note_attention(is_ours);
    return is_ours ? &attention_ : nullptr;
  }

 private:
  PackedProduct product_;
  PackedRows rows_;
  FlashAttention attention_;
};

kernels::PackedMemory* memory_of(ggml_backend_buffer_t buffer) {
  return static_cast<kernels::PackedMemory*>(buffer->context);
}

/** A share of the panels after another, on as many threads as the model that is being loaded will have. */
void pack(const ggml_tensor* tensor, const std::byte* source) {
  kernels::PackedMatrix matrix = matrix_of(tensor);
  const auto rows = static_cast<size_t>(tensor->ne[1]);
  const size_t row_size = tensor->nb[1];
  const size_t share = std::max<size_t>(1, packed_at_once / (row_size * kernels::panel_outputs)) * kernels::panel_outputs;
  std::atomic<size_t> next{0};
  in_parallel(std::min(packing.threads, (rows + share - 1) / share), [&] {
    for (size_t row = next.fetch_add(share); row < rows; row = next.fetch_add(share)) {
      matrix.pack(row, std::min(share, rows - row), source + row * row_size);
    }
  });
  if (packing.from_mapped_file) forget(source, rows * row_size);
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
  const auto* source = static_cast<const std::byte*>(data);
  if (!is_packed(tensor)) {
    std::memcpy(static_cast<std::byte*>(tensor->data) + offset, source, size);
  } else if (offset == 0 && size == packed->functions.nbytes(tensor)) {
    pack(tensor, source);
  } else {
    matrix_of(tensor).write(offset, size, source);
  }
}

void get_tensor(ggml_backend_buffer_t, const ggml_tensor* tensor, void* data, size_t offset, size_t size) {
  auto* target = static_cast<std::byte*>(data);
  if (is_packed(tensor)) matrix_of(tensor).read(offset, size, target);
  else std::memcpy(target, static_cast<const std::byte*>(tensor->data) + offset, size);
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
  ggml_backend_buffer_i functions{};
  functions.free_buffer = [](ggml_backend_buffer_t buffer) { delete memory_of(buffer); };
  functions.get_base = [](ggml_backend_buffer_t buffer) { return static_cast<void*>(memory_of(buffer)->data()); };
  functions.set_tensor = set_tensor;
  functions.get_tensor = get_tensor;
  functions.clear = [](ggml_backend_buffer_t buffer, uint8_t value) {
    std::memset(memory_of(buffer)->data(), value, buffer->size);
  };
  try {
    return packed->functions.buffer_init(type, functions, new kernels::PackedMemory(size), size);
  } catch (const std::bad_alloc&) {
    return nullptr;  // libllama reports it
  }
}

size_t allocated_bytes(ggml_backend_buffer_type_t, const ggml_tensor* tensor) {
  if (!is_packed(tensor)) return packed->functions.nbytes(tensor);
  return shape_of(tensor).bytes();
}

}  // namespace

PackingScope::PackingScope(const Packing& wanted) { packing = wanted; }
PackingScope::~PackingScope() { packing = {}; }

ggml_backend_buffer_type_t packed_buffer_type(ggml_backend_dev_t cpu, const kernels::KernelSet& kernel_set,
                                              const PackedBufferFunctions& functions) {
  ggml_backend_buffer_type_i type{};
  type.get_name = [](ggml_backend_buffer_type_t) { return "CPU_TANDEM"; };
  type.alloc_buffer = allocate;
  type.get_alignment = [](ggml_backend_buffer_type_t) { return kernels::cache_line; };
  type.get_alloc_size = allocated_bytes;
  packed = new PluggedType{{type, cpu, new PackedOperations(kernel_set, functions)}, &kernel_set, functions};
  return &packed->type;
}

}  // namespace tandem

#else

namespace tandem {

PackingScope::PackingScope(const Packing&) {}
PackingScope::~PackingScope() = default;

}  // namespace tandem

#endif

