#include "engine/attention_operations.h"
#include "engine/relative_position.h"
#include "engine/t5_graph.h"

namespace tandem {

// The encoder's keys and values are halves only where packed weights make a larger difference: ggml has them in f32.
struct T5Graph::EncoderInputs {
  int64_t n;
  ggml_tensor* buckets;       // of every distance for our kernel, else of every query's distance to every key
  const float* mask;          // [n] or null
  ggml_tensor* mask_for_ggml;  // likewise
  ggml_tensor* bias;          // of the layer, `position_bias`
  KeyValue seen;              // for our kernel: written anew by every layer, since memory of its own would be held for each
};

T5Graph::EncoderInputs T5Graph::encoder_inputs(Graph& graph, int64_t n, const std::vector<float>& mask) const {
  const RelativePosition relative(p_.relative_attention_num_buckets, p_.relative_attention_max_distance, true);
  std::vector<int32_t> by_distance;  // from -(n - 1) to n - 1
  for (int64_t distance = 1 - n; distance < n; ++distance) by_distance.push_back(relative.bucket(distance));
  const float* masked = mask.empty() ? nullptr : mask.data();
  if (is_packed_) {
    auto* buckets = graph.indices(std::move(by_distance));
    return {n, buckets, masked, nullptr, nullptr, new_keys_and_values(graph.context(), n)};
  }
  std::vector<int32_t> buckets;
  buckets.reserve(static_cast<size_t>(n * n));
  for (int64_t query = 0; query < n; ++query) {
    const auto first = by_distance.begin() + (n - 1 - query);  // key 0
    buckets.insert(buckets.end(), first, first + n);
  }
  return {n, graph.indices(std::move(buckets)), masked, masked == nullptr ? nullptr : graph.values(mask), nullptr,
          {}};
}

/** `[2 n - 1, heads]` for our kernel, else `[key, query, heads]` with the mask. */
ggml_tensor* T5Graph::position_bias(Graph& graph, ggml_tensor* table, const EncoderInputs& inputs) const {
  const Library& llama = library();
  auto* context = graph.context();
  auto* rows = graph.rows(table, inputs.buckets);
  if (is_packed_) return llama.ggml_cont(context, llama.ggml_permute(context, rows, 1, 0, 2, 3));
  rows = llama.ggml_reshape_3d(context, rows, p_.num_heads, inputs.n, inputs.n);
  auto* bias = llama.ggml_cont(context, llama.ggml_permute(context, rows, 2, 0, 1, 3));
  return inputs.mask_for_ggml == nullptr ? bias : llama.ggml_add(context, bias, inputs.mask_for_ggml);
}

ggml_tensor* T5Graph::encoder_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x,
                                        const EncoderInputs& inputs) const {
  const auto& [q, k, v] = self_projections(graph, attention, norm(graph, x, attention.norm));
  if (!is_packed_) return graph.linear(attention.o, attention_over_scores(graph, {q, k, v}, inputs.bias), x);
  KeyValue seen = inputs.seen;
  store_for_kernel(graph, {k, v}, seen);
  auto* mixed = graph.custom({GGML_TYPE_F32, p_.inner(), inputs.n}, {q, seen.k, seen.v, inputs.bias},
                             std::make_unique<EncoderAttention>(*options_.kernel_set, inputs.mask));
  return graph.linear(attention.o, mixed, x);
}

/** Keys and values `[inner, n]` as our kernel reads them; `target` becomes what is written. */
void T5Graph::store_for_kernel(Graph& graph, const KeyValue& from, KeyValue& target) const {
  const auto& kernel_set = *options_.kernel_set;
  target.k = graph.custom_into(target.k, {from.k}, std::make_unique<KeyTiles>(kernel_set, p_.num_heads));
  target.v = graph.custom_into(target.v, {from.v}, std::make_unique<ValueHeads>(kernel_set));
}

ggml_tensor* T5Graph::attention_over_scores(Graph& graph, const std::array<ggml_tensor*, 3>& projections,
                                            ggml_tensor* bias) const {
  const Library& llama = library();
  auto* q = graph.split_heads(projections[0], p_.d_kv, p_.num_heads);
  auto* k = graph.split_heads(projections[1], p_.d_kv, p_.num_heads);
  auto* v = graph.split_heads_transposed(projections[2], p_.d_kv, p_.num_heads);
  // T5 does not divide by the square root of the head size: its initialisation absorbs it.
  auto* scores = llama.ggml_add(graph.context(), llama.ggml_mul_mat(graph.context(), k, q), bias);
  return graph.merge_heads(llama.ggml_mul_mat(graph.context(), v, llama.ggml_soft_max(graph.context(), scores)));
}

Graph T5Graph::encoder(const std::vector<int32_t>& ids, const CrossAttention& target) const {
  const Library& llama = library();
  const size_t layers = model_.encoder.layers.size() + model_.decoder.layers.size();
  Graph graph((layers + 1) * nodes_per_layer, options_.kernel_set);
  auto* context = graph.context();
  EncoderInputs inputs = encoder_inputs(graph, static_cast<int64_t>(ids.size()), target.mask);
  auto* x = graph.rows(model_.token_embedding, graph.indices(ids));
  ggml_tensor* table = nullptr;
  for (const auto& layer : model_.encoder.layers) {
    if (layer.self.relative_bias != table) inputs.bias = position_bias(graph, table = layer.self.relative_bias, inputs);
    x = encoder_attention(graph, layer.self, x, inputs);
    x = feed_forward(graph, layer.feed_forward, x);
  }
  x = norm(graph, x, model_.encoder.output_norm);

  for (size_t i = 0; i < model_.decoder.layers.size(); ++i) {
    const auto& cross = model_.decoder.layers[i].cross;
    auto* k = graph.linear(cross.k, x);
    auto* v = graph.linear(cross.v, x);
    KeyValue stored = target.layers[i];
    if (has_attention_kernel_) {
      store_for_kernel(graph, {k, v}, stored);
    } else {
      stored.k = llama.ggml_cpy(context, graph.split_heads(k, p_.d_kv, p_.num_heads), stored.k);
      stored.v = llama.ggml_cpy(context, graph.split_heads_transposed(v, p_.d_kv, p_.num_heads), stored.v);
    }
    graph.expand(stored.k);
    graph.expand(stored.v);
  }
  return graph;
}

}  // namespace tandem
