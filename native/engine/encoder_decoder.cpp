#include "engine/encoder_decoder.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/error.h"
#include "engine/relative_position.h"

namespace tandem {

namespace {

// Sequences are rows of a table here; the limit only keeps numbers sane.
constexpr int32_t max_sequences = 1 << 16;

}  // namespace

EncoderDecoder::EncoderDecoder(const EncoderDecoderOptions& options, const CancelFlag& cancel)
    : device_(device_named(options.device)),
      kv_type_(options.kv_type),
      weights_(options.path, options.tensors, device_, cancel),
      model_(options.parameters, weights_),
      graph_(model_, options.exact),
      runner_(device_, options.threads, cancel),
      cell_context_(new_description_context(2 * model_.decoder.layers.size())),
      cells_(static_cast<size_t>(options.context_size)) {
  const Library& llama = library();
  const auto new_store = [&] {
    return llama.ggml_new_tensor_2d(cell_context_.get(), kv_type_, model_.parameters.inner(), options.context_size);
  };
  for (size_t i = 0; i < model_.decoder.layers.size(); ++i) cell_store_.push_back({new_store(), new_store()});
  cell_buffer_ = allocate_tensors(cell_context_.get(), llama.ggml_backend_dev_buffer_type(device_),
                                  "the keys and values of the decoder");
  description_ = {model_.parameters.vocabulary_size, 0, max_sequences, static_cast<double>(weights_.bytes()),
                  llama.ggml_backend_dev_name(device_)};
}

std::unique_ptr<EncoderDecoder::Source> EncoderDecoder::new_source(size_t length,
                                                                   const std::vector<uint8_t>& mask) const {
  const Library& llama = library();
  auto source = std::make_unique<Source>();
  const size_t layers = model_.decoder.layers.size();
  const int64_t n = static_cast<int64_t>(length);
  const int64_t size = model_.parameters.d_kv;
  const int64_t heads = model_.parameters.num_heads;
  source->context = new_description_context(2 * layers);
  auto* context = source->context.get();
  for (size_t i = 0; i < layers; ++i) {
    source->attention.layers.push_back({llama.ggml_new_tensor_3d(context, kv_type_, size, n, heads),
                                        llama.ggml_new_tensor_3d(context, kv_type_, n, size, heads)});
  }
  source->buffer = allocate_tensors(context, llama.ggml_backend_dev_buffer_type(device_), "the keys and values of a source");
  if (std::any_of(mask.begin(), mask.end(), [](uint8_t real) { return real == 0; })) {
    // The lowest float and not minus infinity, as transformers does: a source that is masked completely is then
    // attended to evenly instead of giving no numbers.
    for (const uint8_t real : mask) {
      source->attention.mask.push_back(real != 0 ? 0.0F : std::numeric_limits<float>::lowest());
    }
  }
  return source;
}

void EncoderDecoder::encode(int32_t number, const std::vector<int32_t>& ids, const std::vector<uint8_t>& mask) {
  auto source = new_source(ids.size(), mask);
  Graph graph = graph_.encoder(ids, source->attention);
  runner_.run(graph);
  sources_[number] = std::move(source);
}

/** Puts the tokens of one source side by side and looks up what each of them may see. */
T5DecoderStep EncoderDecoder::arrange(const StepRows& rows, const Cells::Plan& plan,
                                      std::vector<size_t>& output_order) const {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows.sources[a] < rows.sources[b]; });
  std::vector<size_t> first_token(rows.size());
  for (size_t row = 0, token = 0; row < rows.size(); token += static_cast<size_t>(rows.token_counts[row++])) {
    first_token[row] = token;
  }
  std::vector<size_t> output_number(rows.tokens.size());
  for (size_t token = 0, output = 0; token < rows.tokens.size(); ++token) {
    output_number[token] = output;
    output += rows.outputs[token] != 0;
  }

  T5DecoderStep step;
  for (const auto& table : plan.tables) step.slots = std::max(step.slots, static_cast<int64_t>(table.size()));
  const T5Parameters& p = model_.parameters;
  const RelativePosition relative(p.relative_attention_num_buckets, p.relative_attention_max_distance, false);
  int32_t previous = -1;
  for (const size_t row : order) {
    const auto found = sources_.find(rows.sources[row]);
    if (found == sources_.end()) {
      throw EngineError("invalid-argument", "source " + std::to_string(rows.sources[row]) + " has not been encoded");
    }
    if (step.spans.empty() || rows.sources[row] != previous) step.spans.push_back({&found->second->attention, 0});
    previous = rows.sources[row];
    const auto& table = plan.tables[row];
    for (size_t i = 0; i < static_cast<size_t>(rows.token_counts[row]); ++i) {
      const size_t token = first_token[row] + i;
      const int64_t position = rows.positions[row] + static_cast<int64_t>(i);
      ++step.spans.back().count;
      if (rows.outputs[token] != 0) {
        step.output_columns.push_back(static_cast<int32_t>(step.tokens.size()));
        output_order.push_back(output_number[token]);
      }
      step.tokens.push_back(rows.tokens[token]);
      step.new_cells.push_back(table[static_cast<size_t>(position)]);
      for (int64_t slot = 0; slot < step.slots; ++slot) {
        // A hidden slot reads the token's own cell, which holds finite numbers, and gets no weight.
        const bool visible = slot <= position;
        step.cells.push_back(table[static_cast<size_t>(visible ? slot : position)]);
        step.buckets.push_back(visible ? relative.bucket(slot - position) : 0);
        step.mask.push_back(visible ? 0.0F : -std::numeric_limits<float>::infinity());
      }
    }
  }
  return step;
}

void EncoderDecoder::compute(const StepRows& rows, const Cells::Plan& plan, LogitsReceiver& receiver) {
  std::vector<size_t> output_order;
  const T5DecoderStep step = arrange(rows, plan, output_order);
  ggml_tensor* logits = nullptr;
  Graph graph = graph_.decoder(step, cell_store_, logits);
  runner_.run(graph);
  std::vector<float> row(static_cast<size_t>(model_.parameters.vocabulary_size));
  const size_t bytes = row.size() * sizeof(float);
  for (size_t i = 0; i < output_order.size(); ++i) {
    library().ggml_backend_tensor_get(logits, row.data(), i * bytes, bytes);
    receiver.receive(output_order[i], row.data());
  }
}

void EncoderDecoder::step(const StepRows& rows, LogitsReceiver& receiver) {
  Cells::Plan plan = cells_.plan(rows);
  try {
    compute(rows, plan, receiver);
  } catch (...) {
    cells_.abandon(rows, plan);
    throw;
  }
  cells_.commit(rows, std::move(plan));
}

void EncoderDecoder::release(const std::vector<int32_t>& sequences, const std::vector<int32_t>& sources) {
  for (const int32_t sequence : sequences) cells_.release(sequence);
  for (const int32_t source : sources) sources_.erase(source);
}

}  // namespace tandem
