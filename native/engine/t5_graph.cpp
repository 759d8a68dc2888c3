#include "engine/t5_graph.h"

#include "engine/attention_operations.h"
#include "engine/relative_position.h"

namespace tandem {

namespace {

constexpr size_t nodes_per_layer = 96;  // the largest layer, gated and exact, has about 70
constexpr size_t nodes_per_span = 16;
constexpr int64_t slots_at_once = 32;  // of a graph that serves so many steps

}  // namespace

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

bool T5DecoderGraph::fits(const T5DecoderStep& step) const {
  return step.tokens.size() == shape.tokens && step.slots == shape.slots && step.spans == shape.spans &&
         step.output_columns == shape.output_columns;
}

void T5DecoderGraph::take(const T5DecoderStep& step) {
  graph.replace(inputs.tokens, step.tokens);
  graph.replace(inputs.new_cells, step.new_cells);
  graph.replace(inputs.lengths, step.lengths);
  graph.replace(inputs.cells, step.cells);
  graph.replace(inputs.buckets, step.buckets);
  graph.replace(inputs.mask, step.mask);
}

int64_t T5Graph::slots_for(int64_t length) const {
  // Our kernel reads no slot that is hidden; ggml's operations read all of them.
  return has_attention_kernel_ ? (length + slots_at_once - 1) / slots_at_once * slots_at_once : length;
}

struct T5Graph::StepInputs : T5DecoderGraph::Inputs {
  int64_t count;  // of tokens
  int64_t slots;
  ggml_tensor* bias;  // of the layer, `slot_bias`
};

T5Graph::StepInputs T5Graph::step_inputs(Graph& graph, const T5DecoderStep& step) const {
  return {{graph.indices(step.tokens), graph.cell_numbers(step.new_cells), graph.indices(step.lengths),
           graph.indices(step.cells), graph.indices(step.buckets), graph.values(step.mask)},
          static_cast<int64_t>(step.tokens.size()),
          step.slots,
          nullptr};
}

/** `[slots, 1, heads, tokens]`: the position bias of every visible cell, minus infinity for the rest. */
ggml_tensor* T5Graph::slot_bias(Graph& graph, ggml_tensor* table, const StepInputs& inputs) const {
  const Library& llama = library();
  auto* context = graph.context();
  auto* rows = graph.rows(table, inputs.buckets);  // [heads, slots * tokens]
  rows = llama.ggml_reshape_4d(context, rows, p_.num_heads, inputs.slots, 1, inputs.count);
  auto* bias = llama.ggml_cont(context, llama.ggml_permute(context, rows, 2, 0, 1, 3));
  return llama.ggml_add(context, bias,
                        llama.ggml_reshape_4d(context, inputs.mask, inputs.slots, 1, 1, inputs.count));
}

ggml_tensor* T5Graph::self_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x, const KeyValue& cells,
                                     const StepInputs& inputs) const {
  const Library& llama = library();
  auto* h = norm(graph, x, attention.norm);
  const auto& [q, k, v] = self_projections(graph, attention, h);
  // Written first, then read by number: a token sees itself, and rows that share a past share its cells.
  const KeyValue stored{llama.ggml_set_rows(graph.context(), cells.k, k, inputs.new_cells),
                        llama.ggml_set_rows(graph.context(), cells.v, v, inputs.new_cells)};
  auto* mixed = has_attention_kernel_
                    ? graph.custom({GGML_TYPE_F32, p_.inner(), inputs.count},
                                   {q, stored.k, stored.v, inputs.cells, inputs.bias, inputs.lengths},
                                   std::make_unique<SelfAttention>(*options_.kernel_set, p_.num_heads))
                    : attention_over_gathered(graph, q, stored, inputs);
  return graph.linear(attention.o, mixed, x);
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

ggml_tensor* T5Graph::attention_over_gathered(Graph& graph, ggml_tensor* q, const KeyValue& stored,
                                              const StepInputs& inputs) const {
  const Library& llama = library();
  auto* context = graph.context();
  q = llama.ggml_reshape_4d(context, q, p_.d_kv, 1, p_.num_heads, inputs.count);
  const auto gather = [&](ggml_tensor* cells) {
    auto* rows = llama.ggml_get_rows(context, cells, inputs.cells);
    return llama.ggml_reshape_4d(context, rows, p_.d_kv, p_.num_heads, inputs.slots, inputs.count);
  };
  // [d_kv, slots, heads, tokens] and [slots, d_kv, heads, tokens]
  auto* k = llama.ggml_cont(context, llama.ggml_permute(context, gather(stored.k), 0, 2, 1, 3));
  auto* v = llama.ggml_cont(context, llama.ggml_permute(context, gather(stored.v), 1, 2, 0, 3));
  auto* scores = llama.ggml_add(context, llama.ggml_mul_mat(context, k, q), inputs.bias);
  auto* mixed = llama.ggml_mul_mat(context, v, llama.ggml_soft_max(context, scores));
  return llama.ggml_reshape_2d(context, mixed, p_.inner(), inputs.count);
}

ggml_tensor* T5Graph::cross_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x, size_t layer,
                                      const T5DecoderStep& step, const std::vector<ggml_tensor*>& masks) const {
  auto* q = graph.linear(attention.q, norm(graph, x, attention.norm));
  if (has_attention_kernel_) {
    std::vector<CrossAttentionOverSources::Columns> sources;
    int64_t first = 0;
    for (const auto& [source, count] : step.spans) {
      const auto& stored = source->layers[layer];
      sources.push_back({first, count, stored.k, stored.v, source->mask.empty() ? nullptr : source->mask.data()});
      first += count;
    }
    auto mixing = std::make_unique<CrossAttentionOverSources>(*options_.kernel_set, sources);
    return graph.linear(attention.o, graph.custom({GGML_TYPE_F32, p_.inner(), q->ne[1]}, {q}, std::move(mixing)),
                        x);
  }
  std::vector<ggml_tensor*> parts;
  int64_t first = 0;
  for (size_t i = 0; i < step.spans.size(); ++i) {
    const auto& span = step.spans[i];
    auto* columns = library().ggml_view_2d(graph.context(), q, q->ne[0], span.count, q->nb[1],
                                           static_cast<size_t>(first) * q->nb[1]);
    parts.push_back(attention_over_source(graph, columns, span.source->layers[layer], masks[i]));
    first += span.count;
  }
  return graph.linear(attention.o, graph.concatenate(parts), x);
}

ggml_tensor* T5Graph::attention_over_source(Graph& graph, ggml_tensor* q, const KeyValue& source,
                                            ggml_tensor* mask) const {
  const Library& llama = library();
  auto* context = graph.context();
  auto* scores = llama.ggml_mul_mat(context, source.k, graph.split_heads(q, p_.d_kv, p_.num_heads));
  if (mask != nullptr) scores = llama.ggml_add(context, scores, mask);
  return graph.merge_heads(llama.ggml_mul_mat(context, source.v, llama.ggml_soft_max(context, scores)));
}

T5DecoderGraph T5Graph::decoder(const T5DecoderStep& step, const std::vector<KeyValue>& cells) const {
  const Library& llama = library();
  const size_t layers = model_.decoder.layers.size();
  Graph graph((layers + 1) * (nodes_per_layer + nodes_per_span * step.spans.size()), options_.kernel_set);
  auto* context = graph.context();
  StepInputs inputs = step_inputs(graph, step);
  const T5DecoderGraph::Shape shape{step.tokens.size(), step.slots, step.spans, step.output_columns};
  std::vector<ggml_tensor*> masks;
  for (const auto& span : step.spans) {
    // Our kernel reads the mask where it lies.
    const bool is_input = !has_attention_kernel_ && !span.source->mask.empty();
    masks.push_back(is_input ? graph.values(span.source->mask) : nullptr);
  }

  auto* x = graph.rows(model_.token_embedding, inputs.tokens);
  ggml_tensor* table = nullptr;
  for (size_t i = 0; i < layers; ++i) {
    const auto& layer = model_.decoder.layers[i];
    if (layer.self.relative_bias != table) inputs.bias = slot_bias(graph, table = layer.self.relative_bias, inputs);
    x = self_attention(graph, layer.self, x, cells[i], inputs);
    x = cross_attention(graph, layer.cross, x, i, step, masks);
    x = feed_forward(graph, layer.feed_forward, x);
  }
  if (step.output_columns.empty()) {
    // Only the keys and values are wanted; the last layer's are written by what its attention reads.
    graph.expand(x);
    return {std::move(graph), shape, inputs, {}};
  }
  x = llama.ggml_get_rows(context, x, graph.indices(step.output_columns));
  T5DecoderOutputs outputs;
  outputs.hidden_states = norm(graph, x, model_.decoder.output_norm);
  outputs.logits = graph.linear(model_.head, outputs.hidden_states);
  llama.ggml_set_output(outputs.hidden_states);
  llama.ggml_set_output(outputs.logits);
  graph.expand(outputs.hidden_states);
  graph.expand(outputs.logits);
  return {std::move(graph), shape, inputs, outputs};
}

}  // namespace tandem
