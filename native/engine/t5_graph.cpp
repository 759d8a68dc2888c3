#include "engine/t5_graph.h"

#include "engine/attention_operations.h"

namespace tandem {

T5Graph::T5Graph(const T5Model& model, const Options& options)
    : model_(model),
      p_(model.parameters),
      options_(options),
      has_attention_kernel_(has_attention_kernel(options.kernel_set, p_.d_kv, options.kv_type)),
      is_packed_(has_attention_kernel_ && model.is_packed()) {}

KeyValue T5Graph::new_keys_and_values(ggml_context* context, int64_t n) const {
  const Library& llama = library();
  const auto new_tensor = [&](int64_t columns, int64_t rows) {
    return llama.ggml_new_tensor_3d(context, options_.kv_type, columns, rows, p_.num_heads);
  };
  if (!has_attention_kernel_) return {new_tensor(p_.d_kv, n), new_tensor(n, p_.d_kv)};
  return {new_tensor(key_tiles_size(n), 1), new_tensor(p_.d_kv, n)};
}

/** Of one head, in halves. */
int64_t T5Graph::key_tiles_size(int64_t n) const {
  return static_cast<int64_t>(kernels::key_tiles_size(static_cast<size_t>(n), static_cast<size_t>(p_.d_kv)));
}

ggml_tensor* T5Graph::norm(Graph& graph, ggml_tensor* x, ggml_tensor* weight) const {
  return graph.rms_norm(x, weight, p_.layer_norm_epsilon);
}

ggml_tensor* T5Graph::activate(Graph& graph, ggml_tensor* x) const {
  const Library& llama = library();
  switch (p_.activation) {
    case Activation::relu: return graph.relu(x);
    case Activation::silu: return llama.ggml_silu(graph.context(), x);
    case Activation::gelu: return llama.ggml_gelu_erf(graph.context(), x);
    case Activation::gelu_new: break;
  }
  return options_.exact ? graph.gelu_new_f32(x) : llama.ggml_gelu(graph.context(), x);
}

ggml_tensor* T5Graph::feed_forward(Graph& graph, const T5FeedForward& layer, ggml_tensor* x) const {
  auto* h = norm(graph, x, layer.norm);
  if (layer.gate == nullptr) return graph.linear(layer.down, activate(graph, graph.linear(layer.up, h)), x);
  auto* gate = activate(graph, graph.linear(layer.gate, h));
  return graph.linear(layer.down, library().ggml_mul(graph.context(), gate, graph.linear(layer.up, h)), x);
}

std::array<ggml_tensor*, 3> T5Graph::self_projections(Graph& graph, const T5Attention& attention,
                                                      ggml_tensor* x) const {
  const bool is_packed = packed_form(attention.q) != nullptr && packed_form(attention.k) != nullptr &&
                         packed_form(attention.v) != nullptr;
  // What ggml computes wants its rows side by side, which views of one product are not.
  if (!has_attention_kernel_ || !is_packed) {
    return {graph.linear(attention.q, x), graph.linear(attention.k, x), graph.linear(attention.v, x)};
  }
  const auto parts = graph.packed_linears({attention.q, attention.k, attention.v}, x);
  return {parts[0], parts[1], parts[2]};
}

}  // namespace tandem
