#include "bind/arguments.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "bind/generator_object.h"
#include "kernels/selection.h"

namespace tandem::bind {

namespace {

constexpr size_t edit_entries = 5;  // output, kind, first id, count, tokens to keep

Napi::Error invalid(Napi::Env env, const std::string& message) { return error_with_code(env, "invalid-argument", message); }

Napi::Object object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throw invalid(value.Env(), std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

std::string text(const Napi::Object& from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (!value.IsString()) throw invalid(from.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

int32_t positive(const Napi::Object& from, const char* name) {
  const int32_t number = int32_number(from.Get(name), name);
  if (number <= 0) throw invalid(from.Env(), std::string(name) + " must be positive");
  return number;
}

uint64_t size(const Napi::Object& from, const char* name) {
  const Napi::Value value = from.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 9007199254740991.0)) throw invalid(from.Env(), std::string(name) + " must be a size");
  return static_cast<uint64_t>(number);
}

template <typename Array>
auto values_of(const Napi::Value& value, napi_typedarray_type type, const std::string& expected)
    -> std::vector<std::remove_pointer_t<decltype(std::declval<Array>().Data())>> {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw invalid(value.Env(), expected);
  }
  const auto array = value.As<Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<double> float64_array(const Napi::Value& value, const char* name) {
  return values_of<Napi::Float64Array>(value, napi_float64_array, std::string(name) + " must be a Float64Array");
}

ggml_type tensor_type(const Napi::Object& from, const char* name) {
  const int32_t type = int32_number(from.Get(name), name);
  if (type < 0 || type >= GGML_TYPE_COUNT || library().ggml_blck_size(static_cast<ggml_type>(type)) == 0) {
    throw invalid(from.Env(), std::string(name) + " is no ggml type");
  }
  return static_cast<ggml_type>(type);
}

void read_engine_options(const Napi::Object& from, EngineOptions& options) {
  options.path = text(from, "path");
  options.device = text(from, "device");
  options.threads = positive(from, "threads");
  options.exact = from.Get("exact").ToBoolean();
  options.kv_type = tensor_type(from, "kvType");
}

Activation activation(const Napi::Object& from) {
  const std::string name = text(from, "activation");
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new") return Activation::gelu_new;
  if (name == "silu") return Activation::silu;
  throw invalid(from.Env(), "unknown activation " + name);
}

T5Parameters t5_parameters(const Napi::Object& from) {
  T5Parameters parameters;
  parameters.d_model = positive(from, "dModel");
  parameters.d_kv = positive(from, "dKv");
  parameters.d_ff = positive(from, "dFf");
  parameters.num_heads = positive(from, "numHeads");
  parameters.num_layers = positive(from, "numLayers");
  parameters.num_decoder_layers = positive(from, "numDecoderLayers");
  parameters.vocabulary_size = positive(from, "vocabularySize");
  parameters.layer_norm_epsilon = from.Get("layerNormEpsilon").ToNumber().FloatValue();
  parameters.relative_attention_num_buckets = positive(from, "relativeAttentionNumBuckets");
  parameters.relative_attention_max_distance = positive(from, "relativeAttentionMaxDistance");
  parameters.activation = activation(from);
  parameters.is_gated = from.Get("isGated").ToBoolean();
  return parameters;
}

TensorDescription tensor_description(const Napi::Value& value) {
  const auto from = object(value, "tensor");
  TensorDescription tensor{text(from, "name"), tensor_type(from, "type"), {}, size(from, "offset"), size(from, "size")};
  const auto shape = object(from.Get("shape"), "shape").As<Napi::Array>();
  if (shape.Length() < 1 || shape.Length() > GGML_MAX_DIMS) throw invalid(from.Env(), "shape must have 1 to 4 entries");
  for (uint32_t i = 0; i < shape.Length(); ++i) {
    const int32_t length = int32_number(shape.Get(i), "shape");
    if (length <= 0) throw invalid(from.Env(), "shape must be positive");
    tensor.shape.push_back(length);
  }
  if (tensor.shape[0] % library().ggml_blck_size(tensor.type) != 0) {
    throw invalid(from.Env(), "tensor " + tensor.name + " has rows that its type cannot hold");
  }
  return tensor;
}

RowEdit row_edit(const Napi::Env& env, const int32_t* entry, double value, const std::vector<int32_t>& ids) {
  const auto first = static_cast<size_t>(entry[2]);
  const auto count = static_cast<size_t>(entry[3]);
  const bool known = entry[1] >= 0 && entry[1] < edit_kinds;
  if (entry[0] < 0 || !known || entry[2] < 0 || entry[3] < 0 || entry[4] < 0 || first + count > ids.size()) {
    throw invalid(env, "malformed edit");
  }
  const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
  return {static_cast<size_t>(entry[0]), static_cast<EditKind>(entry[1]), value, static_cast<size_t>(entry[4]),
          std::vector<int32_t>(begin, begin + static_cast<std::ptrdiff_t>(count))};
}

/** The rows of the matrix of draws must be in order, and so many that the draws of all outputs lie inside. */
StepDraw step_draw(const Napi::Object& from, size_t outputs) {
  StepDraw draw{generator_of(from.Get("generator")), int32_array(from.Get("rows"), "rows"),
                static_cast<size_t>(positive(from, "matrixRows"))};
  int64_t last = -1;
  for (const int32_t row : draw.rows) {
    if (row <= last) throw invalid(from.Env(), "the rows of a draw must ascend");
    last = row;
  }
  if (draw.rows.size() != outputs || last >= static_cast<int64_t>(draw.matrix_rows)) {
    throw invalid(from.Env(), "a draw needs a row of its matrix for each output");
  }
  return draw;
}

}  // namespace

Napi::Error error_with_code(Napi::Env env, const std::string& code, const std::string& message) {
  auto error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

std::vector<int32_t> int32_array(const Napi::Value& value, const char* name) {
  return values_of<Napi::Int32Array>(value, napi_int32_array, std::string(name) + " must be an Int32Array");
}

std::vector<uint8_t> uint8_array(const Napi::Value& value, const char* name) {
  return values_of<Napi::Uint8Array>(value, napi_uint8_array, std::string(name) + " must be a Uint8Array");
}

std::vector<float> float32_array(const Napi::Value& value, const char* name) {
  return values_of<Napi::Float32Array>(value, napi_float32_array, std::string(name) + " must be a Float32Array");
}

int32_t int32_number(const Napi::Value& value, const char* name) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0.5;
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != static_cast<double>(static_cast<int32_t>(number))) {
    throw invalid(value.Env(), std::string(name) + " must be a 32-bit integer");
  }
  return static_cast<int32_t>(number);
}

void check_ids(Napi::Env env, const std::vector<int32_t>& ids, int32_t vocabulary_size) {
  const auto outside = [&](int32_t id) { return id < 0 || id >= vocabulary_size; };
  const auto bad = std::find_if(ids.begin(), ids.end(), outside);
  if (bad == ids.end()) return;
  throw invalid(env, "token id " + std::to_string(*bad) + " is outside the vocabulary of " +
                         std::to_string(vocabulary_size));
}

const kernels::KernelSet* kernel_set(const Napi::Object& from, const char* name) {
  const std::string wanted = text(from, name);
  const auto* found = kernels::find_kernel_set(wanted);
  if (found == nullptr && wanted != "ggml") throw invalid(from.Env(), "this processor has no kernels " + wanted);
  return found;
}

EncoderDecoderOptions encoder_decoder_options(const Napi::Value& value) {
  const auto from = object(value, "options");
  EncoderDecoderOptions options;
  read_engine_options(from, options);
  options.context_size = positive(from, "contextSize");
  options.kernel_set = kernel_set(from, "kernels");
  options.parameters = t5_parameters(object(from.Get("parameters"), "parameters"));
  const auto tensors = object(from.Get("tensors"), "tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) options.tensors.push_back(tensor_description(tensors.Get(i)));
  return options;
}

DecoderOnlyOptions decoder_only_options(const Napi::Value& value) {
  const auto from = object(value, "options");
  DecoderOnlyOptions options;
  read_engine_options(from, options);
  options.context_size = positive(from, "contextSize");
  options.max_sequences = positive(from, "maxSequences");
  options.batch_size = positive(from, "batchSize");
  options.position_limit = int32_number(from.Get("positionLimit"), "positionLimit");
  options.architecture = text(from, "architecture");
  options.vocabulary_size = int32_number(from.Get("vocabularySize"), "vocabularySize");
  return options;
}

StepRows step_rows(const Napi::Value& value, const EngineDescription& engine) {
  const auto from = object(value, "rows");
  StepRows rows{int32_array(from.Get("sequences"), "sequences"),     int32_array(from.Get("parents"), "parents"),
                int32_array(from.Get("positions"), "positions"),     int32_array(from.Get("sources"), "sources"),
                int32_array(from.Get("tokenCounts"), "tokenCounts"), int32_array(from.Get("tokens"), "tokens"),
                uint8_array(from.Get("outputs"), "outputs")};
  const size_t count = rows.size();
  if (count == 0 || rows.parents.size() != count || rows.positions.size() != count || rows.sources.size() != count ||
      rows.token_counts.size() != count || rows.outputs.size() != rows.tokens.size()) {
    throw invalid(from.Env(), "the arrays of a step must describe the same rows, at least one");
  }
  int64_t tokens = 0;
  for (size_t row = 0; row < count; ++row) {
    if (rows.token_counts[row] <= 0 || rows.positions[row] < 0 || rows.sequences[row] < 0 ||
        rows.sequences[row] >= engine.max_sequences || rows.parents[row] >= engine.max_sequences) {
      throw invalid(from.Env(), "row " + std::to_string(row) + " is out of range");
    }
    tokens += rows.token_counts[row];
  }
  auto sequences = rows.sequences;
  std::sort(sequences.begin(), sequences.end());
  if (tokens != static_cast<int64_t>(rows.tokens.size()) ||
      std::adjacent_find(sequences.begin(), sequences.end()) != sequences.end() ||
      std::all_of(rows.outputs.begin(), rows.outputs.end(), [](uint8_t wanted) { return wanted == 0; })) {
    throw invalid(from.Env(), "a step needs distinct sequences, the tokens it counts and at least one output");
  }
  check_ids(from.Env(), rows.tokens, engine.vocabulary_size);
  return rows;
}

StepRequest step_request(const Napi::Value& value, size_t outputs, const EngineDescription& engine) {
  const auto from = object(value, "request");
  const auto env = from.Env();
  StepRequest request;
  request.candidates = static_cast<size_t>(positive(from, "candidates"));
  request.logits = from.Get("logits").ToBoolean();
  request.beam_scores = float32_array(from.Get("beamScores"), "beamScores");
  if (!request.beam_scores.empty() && request.beam_scores.size() != outputs) {
    throw invalid(env, "beamScores must be empty or have a number for each output");
  }
  const size_t groups = request.beam_scores.empty() ? 1 : outputs;
  if (request.candidates > groups * static_cast<size_t>(engine.vocabulary_size)) {
    throw invalid(env, "more candidates than there are tokens");
  }
  if (!from.Get("draw").IsNull()) request.draw = step_draw(object(from.Get("draw"), "draw"), outputs);
  const auto edits = int32_array(from.Get("edits"), "edits");
  const auto values = float64_array(from.Get("editValues"), "editValues");
  const auto ids = int32_array(from.Get("editIds"), "editIds");
  if (edits.size() != edit_entries * values.size()) throw invalid(env, "malformed edits");
  check_ids(env, ids, engine.vocabulary_size);
  for (size_t i = 0; i < values.size(); ++i) {
    request.edits.push_back(row_edit(env, edits.data() + edit_entries * i, values[i], ids));
    if (request.edits.back().output >= outputs) throw invalid(env, "an edit names an output that is not there");
  }
  return request;
}

}  // namespace tandem::bind
