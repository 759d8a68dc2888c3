#include "engine/t5_model.h"

#include <algorithm>

namespace tandem {

namespace {

/** Looks tensors up under llama.cpp's names. */
class Binder {
 public:
  Binder(const T5Parameters& parameters, const Weights& weights) : p_(parameters), weights_(weights) {}

  T5Stack stack(const std::string& prefix, int32_t layers, bool has_cross_attention) const {
    T5Stack stack;
    for (int32_t i = 0; i < layers; ++i) {
      const std::string block = prefix + ".blk." + std::to_string(i) + ".";
      T5Layer layer;
      layer.self = attention(block + "attn_");
      layer.self.relative_bias = relative_bias(block + "attn_rel_b.weight", stack);
      if (has_cross_attention) layer.cross = attention(block + "cross_attn_");
      layer.feed_forward = feed_forward(block + "ffn_");
      stack.layers.push_back(layer);
    }
    stack.output_norm = norm(prefix + ".output_norm.weight");
    return stack;
  }

 private:
  ggml_tensor* norm(const std::string& name) const {
    return weights_.require(name, {p_.d_model}, Weights::Use::vector);
  }

  T5Attention attention(const std::string& prefix) const {
    return {norm(prefix + "norm.weight"),
            weights_.require(prefix + "q.weight", {p_.d_model, p_.inner()}),
            weights_.require(prefix + "k.weight", {p_.d_model, p_.inner()}),
            weights_.require(prefix + "v.weight", {p_.d_model, p_.inner()}),
            weights_.require(prefix + "o.weight", {p_.inner(), p_.d_model}),
            nullptr};
  }

  ggml_tensor* relative_bias(const std::string& name, const T5Stack& stack) const {
    if (!stack.layers.empty() && !weights_.has(name)) return stack.layers.front().self.relative_bias;
    return weights_.require(name, {p_.num_heads, p_.relative_attention_num_buckets});
  }

  T5FeedForward feed_forward(const std::string& prefix) const {
    return {norm(prefix + "norm.weight"), weights_.require(prefix + "up.weight", {p_.d_model, p_.d_ff}),
            p_.is_gated ? weights_.require(prefix + "gate.weight", {p_.d_model, p_.d_ff}) : nullptr,
            weights_.require(prefix + "down.weight", {p_.d_ff, p_.d_model})};
  }

  const T5Parameters& p_;
  const Weights& weights_;
};

}  // namespace

T5Model::T5Model(const T5Parameters& parameters, const Weights& weights) : parameters(parameters) {
  const Binder binder(parameters, weights);
  const std::vector<int64_t> embedding{parameters.d_model, parameters.vocabulary_size};
  token_embedding = weights.require("token_embd.weight", embedding);
  encoder = binder.stack("enc", parameters.num_layers, false);
  decoder = binder.stack("dec", parameters.num_decoder_layers, true);
  head = weights.has("output.weight") ? weights.require("output.weight", embedding) : token_embedding;
}

bool T5Model::is_packed() const {
  const auto has_form = [](const ggml_tensor* matrix) { return matrix == nullptr || packed_form(matrix) != nullptr; };
  return has_form(head) && std::all_of(decoder.layers.begin(), decoder.layers.end(), [&](const T5Layer& layer) {
           const auto& [self, cross, feed_forward] = layer;
           return has_form(self.q) && has_form(self.k) && has_form(self.v) && has_form(self.o) && has_form(cross.q) &&
                  has_form(cross.o) && has_form(feed_forward.up) && has_form(feed_forward.gate) &&
                  has_form(feed_forward.down);
         });
}

}  // namespace tandem
