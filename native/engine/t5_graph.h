#pragma once
#include <array>

#include "engine/graph.h"
#include "engine/t5_model.h"

namespace tandem {

/** Keys and values of one layer. */
struct KeyValue {
  ggml_tensor* k = nullptr;
  ggml_tensor* v = nullptr;
};

/**
 * What cross-attention keeps of one source: per decoder layer K `[d_kv, n, heads]` and V `[n, d_kv, heads]` for ggml, or K in
 * tiles and V `[d_kv, n, heads]` for our kernel (`T5Graph::new_keys_and_values`).
 */
struct CrossAttention {
  std::vector<KeyValue> layers;
  std::vector<float> mask;  // [n], 0 or the lowest float; empty when every token is real
};

/** Tokens of one decoder step, in the order of the graph's columns: those of one source lie side by side. */
struct T5DecoderStep {
  struct Span {
    const CrossAttention* source;
    int64_t count;
    bool operator==(const Span& other) const { return source == other.source && count == other.count; }
  };
  std::vector<int32_t> tokens;     // [n]
  std::vector<int64_t> new_cells;  // [n], where each token's keys and values go
  int64_t slots = 0;               // at least the length of the longest past, the token itself included
  std::vector<int32_t> lengths;    // [n], of each token's past, the token itself included
  std::vector<int32_t> cells;      // [slots, n]
  std::vector<int32_t> buckets;    // [slots, n]
  std::vector<float> mask;         // [slots, n], 0 or minus infinity
  std::vector<Span> spans;
  std::vector<int32_t> output_columns;  // the tokens whose outputs are wanted
};

/** What a decoder step gives, a column for each of its output columns. */
struct T5DecoderOutputs {
  ggml_tensor* hidden_states = nullptr;  // [d_model, outputs], after the final norm
  ggml_tensor* logits = nullptr;         // [vocabulary, outputs]
};

/** The graph of a decoder step, and of all others of its shape: only their inputs differ. */
struct T5DecoderGraph {
  struct Inputs {
    ggml_tensor* tokens;
    ggml_tensor* new_cells;
    ggml_tensor* lengths;
    ggml_tensor* cells;
    ggml_tensor* buckets;
    ggml_tensor* mask;
  };
  /** What decides the shape. */
  struct Shape {
    size_t tokens;
    int64_t slots;
    std::vector<T5DecoderStep::Span> spans;
    std::vector<int32_t> output_columns;
  };
  Graph graph;
  Shape shape;
  Inputs inputs;
  T5DecoderOutputs outputs;

  bool fits(const T5DecoderStep& step) const;
  void take(const T5DecoderStep& step);
};

/** Draws the T5 graphs (Raffel et al. 2020; the exact rules are those of transformers 5.23). */
class T5Graph {
 public:
  struct Options {
    const kernels::KernelSet* kernel_set;  // null: ggml computes everything
    bool exact;                            // everything in f32, as the reference computes
    ggml_type kv_type;
  };
  T5Graph(const T5Model& model, const Options& options);

  /** Tensors for the keys and values of a source of `n` tokens in one layer. */
  KeyValue new_keys_and_values(ggml_context* context, int64_t n) const;

  /** Whether a row gets the same to the last bit whatever other rows there are; ggml's products promise no such thing. */
  bool computes_rows_apart() const { return is_packed_; }

  /** Encodes one source and writes its cross-attention keys and values into `target`. */
  Graph encoder(const std::vector<int32_t>& ids, const CrossAttention& target) const;
  /** One decoder step over `cells` (per layer K and V `[heads * d_kv, cells]`). It has outputs where any are wanted. */
  T5DecoderGraph decoder(const T5DecoderStep& step, const std::vector<KeyValue>& cells) const;
  /** Slots for pasts of this length: where it costs nothing so many more that the graph also serves the next steps. */
  int64_t slots_for(int64_t length) const;

 private:
  // The layers return what becomes of the residual stream `x`.
  int64_t key_tiles_size(int64_t n) const;
  struct EncoderInputs;
  EncoderInputs encoder_inputs(Graph& graph, int64_t n, const std::vector<float>& mask) const;
  ggml_tensor* position_bias(Graph& graph, ggml_tensor* table, const EncoderInputs& inputs) const;
  ggml_tensor* encoder_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x,
                                 const EncoderInputs& inputs) const;
  ggml_tensor* attention_over_scores(Graph& graph, const std::array<ggml_tensor*, 3>& projections,
                                     ggml_tensor* bias) const;
  void store_for_kernel(Graph& graph, const KeyValue& from, KeyValue& target) const;
  struct StepInputs;
  StepInputs step_inputs(Graph& graph, const T5DecoderStep& step) const;
  ggml_tensor* self_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x, const KeyValue& cells,
                              const StepInputs& inputs) const;
  std::array<ggml_tensor*, 3> self_projections(Graph& graph, const T5Attention& attention, ggml_tensor* x) const;
  ggml_tensor* attention_over_gathered(Graph& graph, const std::array<ggml_tensor*, 3>& projections,
                                       const KeyValue& cells, const StepInputs& inputs) const;
  ggml_tensor* cross_attention(Graph& graph, const T5Attention& attention, ggml_tensor* x, size_t layer,
                               const T5DecoderStep& step, const std::vector<ggml_tensor*>& masks) const;
  ggml_tensor* feed_forward(Graph& graph, const T5FeedForward& layer, ggml_tensor* x) const;
  ggml_tensor* activate(Graph& graph, ggml_tensor* x) const;
  ggml_tensor* norm(Graph& graph, ggml_tensor* x, ggml_tensor* weight) const;
  ggml_tensor* attention_over_source(Graph& graph, ggml_tensor* q, const KeyValue& source, ggml_tensor* mask) const;
  ggml_tensor* slot_bias(Graph& graph, ggml_tensor* table, const StepInputs& inputs) const;

  static constexpr size_t nodes_per_layer = 96;  // the largest, gated and exact, has about 70

  const T5Model& model_;
  const T5Parameters& p_;
  const Options options_;
  const bool has_attention_kernel_;
  const bool is_packed_;  // and has that kernel: nothing is left to ggml's products
};

}  // namespace tandem
