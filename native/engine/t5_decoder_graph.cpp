#include "engine/attention_operations.h"
#include "engine/t5_graph.h"

namespace tandem {

namespace {

constexpr size_t nodes_per_span = 16;
constexpr int64_t slots_at_once = 32;  // of a graph that serves so many steps

}  // namespace

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
  auto* h = norm(graph, x, attention.norm);
  const auto& [q, k, v] = self_projections(graph, attention, h);
  // Written first, then read by number: a token sees itself, and rows that share a past share its cells.
  auto* mixed = has_attention_kernel_
                    ? graph.custom({GGML_TYPE_F32, p_.inner(), inputs.count},
                                   {q, k, v, cells.k, cells.v, inputs.new_cells, inputs.cells, inputs.bias, inputs.lengths},
                                   std::make_unique<SelfAttention>(*options_.kernel_set, p_.num_heads))
                    : attention_over_gathered(graph, {q, k, v}, cells, inputs);
  return graph.linear(attention.o, mixed, x);
}

ggml_tensor* T5Graph::attention_over_gathered(Graph& graph, const std::array<ggml_tensor*, 3>& projections,
                                              const KeyValue& cells, const StepInputs& inputs) const {
  const Library& llama = library();
  auto* context = graph.context();
  const KeyValue stored{llama.ggml_set_rows(context, cells.k, projections[1], inputs.new_cells),
                        llama.ggml_set_rows(context, cells.v, projections[2], inputs.new_cells)};
  auto* q = llama.ggml_reshape_4d(context, projections[0], p_.d_kv, 1, p_.num_heads, inputs.count);
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
    // Only the keys and values are wanted; the last layer's are written before or by its attention.
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
