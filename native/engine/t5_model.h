#pragma once
#include <string>
#include <vector>

#include "engine/weights.h"

namespace tandem {

enum class Activation { relu, gelu, gelu_new, silu };

/** The fields of `T5Parameters` in src/native/addon.ts. */
struct T5Parameters {
  int32_t d_model = 0;
  int32_t d_kv = 0;
  int32_t d_ff = 0;
  int32_t num_heads = 0;
  int32_t num_layers = 0;
  int32_t num_decoder_layers = 0;
  int32_t vocabulary_size = 0;
  float layer_norm_epsilon = 0;
  int32_t relative_attention_num_buckets = 0;
  int32_t relative_attention_max_distance = 0;
  Activation activation = Activation::relu;
  bool is_gated = false;
  int64_t inner() const { return static_cast<int64_t>(num_heads) * d_kv; }
};

struct T5Attention {
  ggml_tensor* norm = nullptr;
  ggml_tensor* q = nullptr;
  ggml_tensor* k = nullptr;
  ggml_tensor* v = nullptr;
  ggml_tensor* o = nullptr;
  ggml_tensor* relative_bias = nullptr;  // [heads, buckets]; T5 has it in the first layer only, umT5 in every layer
};

struct T5FeedForward {
  ggml_tensor* norm = nullptr;
  ggml_tensor* up = nullptr;
  ggml_tensor* gate = nullptr;
  ggml_tensor* down = nullptr;
};

struct T5Layer {
  T5Attention self;
  T5Attention cross;  // decoder only
  T5FeedForward feed_forward;
};

struct T5Stack {
  std::vector<T5Layer> layers;
  ggml_tensor* output_norm = nullptr;
};

/** A T5 model: every tensor found and its shape checked against the parameters. */
struct T5Model {
  T5Model(const T5Parameters& parameters, const Weights& weights);

  /** Whether our kernels multiply every matrix of the decoder. */
  bool is_packed() const;

  T5Parameters parameters;
  ggml_tensor* token_embedding;
  T5Stack encoder;
  T5Stack decoder;
  ggml_tensor* head;  // [d_model, vocabulary]; the token embedding itself when they are tied
};

}  // namespace tandem
