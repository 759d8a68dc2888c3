#include "engine/matrix_product.h"

#include "engine/error.h"
#include "engine/graph.h"
#include "engine/packed_types.h"
#include "engine/weights.h"

namespace tandem {

namespace {

size_t weight_row_bytes(const MatrixProduct& product) {
  return library().ggml_row_size(product.type, product.inputs);
}

}  // namespace

void check_product(const MatrixProduct& product) {
  const bool has_blocks = packed_type(product.type) && product.inputs > 0 &&
                          product.inputs % library().ggml_blck_size(product.type) == 0;
  if (has_blocks && product.threads > 0 && !product.weights.empty() && !product.activations.empty() &&
      product.weights.size() % weight_row_bytes(product) == 0 &&
      product.activations.size() % static_cast<size_t>(product.inputs) == 0) {
    return;
  }
  throw EngineError("invalid-argument",
                    "the matrix and the activations are no whole rows of the same length, or of a type that cannot be packed");
}

std::vector<float> multiply_matrix(const MatrixProduct& product, const CancelFlag& cancel) {
  const Library& llama = library();
  auto* device = llama.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  const size_t outputs = product.weights.size() / weight_row_bytes(product);
  const size_t rows = product.activations.size() / static_cast<size_t>(product.inputs);
  const ContextHandle context = new_description_context(1);
  auto* weight = llama.ggml_new_tensor_2d(context.get(), product.type, product.inputs, static_cast<int64_t>(outputs));
  BufferHandle buffer;
  const kernels::PackedShape shape{*packed_type(product.type), static_cast<size_t>(product.inputs), outputs};
  const kernels::PackedMemory memory(shape.bytes());
  kernels::PackedMatrix packed(shape, memory.data());
  if (product.kernel_set != nullptr) {
    packed.pack(0, outputs, reinterpret_cast<const std::byte*>(product.weights.data()));
    weight->extra = &packed;
  } else {
    buffer = allocate_tensors(context.get(), llama.ggml_backend_dev_buffer_type(device), "the matrix");
    llama.ggml_backend_tensor_set(weight, product.weights.data(), 0, product.weights.size());
  }
  Graph graph(16, product.kernel_set);
  auto* x = llama.ggml_reshape_2d(graph.context(), graph.values(product.activations), product.inputs,
                                  static_cast<int64_t>(rows));
  auto* result = graph.linear(weight, x);
  llama.ggml_set_output(result);
  graph.expand(result);
  GraphRunner runner(device, product.threads, cancel);
  runner.run(graph);
  std::vector<float> values(rows * outputs);
  llama.ggml_backend_tensor_get(result, values.data(), 0, values.size() * sizeof(float));
  return values;
}

}  // namespace tandem
