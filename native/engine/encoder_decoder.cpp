#include "engine/encoder_decoder.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/error.h"
#include "engine/relative_position.h"

namespace tandem {

namespace {

// Without our kernel a step gathers the keys and values that its tokens see: at ChatLM's 768 values a cell this many take
// 400 MB. With it they have a bias for each of 12 heads, which takes 1.6 MB. Larger steps are computed in pieces.
constexpr size_t max_seen_cells = 1 << 15;

/** One row of what a graph has computed. */
void read_row(const ggml_tensor* tensor, size_t row, std::vector<float>& values) {
  values.resize(static_cast<size_t>(tensor->ne[0]));
  library().ggml_backend_tensor_get(tensor, values.data(), row * tensor->nb[1], tensor->nb[1]);
}

}  // namespace

EncoderDecoder::EncoderDecoder(const EncoderDecoderOptions& options, const CancelFlag& cancel)
    : device_(device_named(options.device)),
      kernel_set_(is_cpu(device_) ? options.kernel_set : nullptr),
      context_size_(options.context_size),
      kv_type_(options.kv_type),
      weights_(options.path, options.tensors, {device_, kernel_set_, options.threads}, cancel),
      model_(options.parameters, weights_),
      graph_(model_, {kernel_set_, options.exact, options.kv_type}),
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
  // Sequences are rows of a table here; but each that has read something holds a cell of its own.
  description_ = {model_.parameters.vocabulary_size, 0, options.context_size, model_.parameters.d_model,
                  static_cast<double>(weights_.bytes()), llama.ggml_backend_dev_name(device_)};
}

std::unique_ptr<EncoderDecoder::Source> EncoderDecoder::new_source(size_t length,
                                                                   const std::vector<uint8_t>& mask) const {
  const Library& llama = library();
  auto source = std::make_unique<Source>();
  const size_t layers = model_.decoder.layers.size();
  const int64_t n = static_cast<int64_t>(length);
  source->context = new_description_context(2 * layers);
  auto* context = source->context.get();
  for (size_t i = 0; i < layers; ++i) source->attention.layers.push_back(graph_.new_keys_and_values(context, n));
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
  // The scores of an encoder layer grow with the square of the source.
  if (ids.size() > static_cast<size_t>(context_size_)) {
    throw EngineError("context-full", "the source has " + std::to_string(ids.size()) +
                                          " tokens, more than the context of " + std::to_string(context_size_));
  }
  auto source = new_source(ids.size(), mask);
  Graph graph = graph_.encoder(ids, source->attention);
  runner_.run(graph);
  sources_[number] = std::move(source);
}

const CrossAttention& EncoderDecoder::source(int32_t number) const {
  const auto found = sources_.find(number);
  if (found != sources_.end()) return found->second->attention;
  throw EngineError("invalid-argument", "source " + std::to_string(number) + " has not been encoded");
}

/** The tokens of a step, those of one source side by side, each row's in their order. */
std::vector<EncoderDecoder::TokenPlace> EncoderDecoder::order_by_source(const StepRows& rows) {
  std::vector<TokenPlace> places;
  int64_t distributions = 0;
  int64_t hidden_states = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    for (int32_t i = 0; i < rows.token_counts[row]; ++i) {
      const size_t token = places.size();
      const bool has_distribution = (rows.outputs[token] & Output::distribution) != 0;
      const bool has_state = (rows.outputs[token] & Output::hidden_state) != 0;
      places.push_back({row, int64_t{rows.positions[row]} + i, rows.tokens[token],
                        has_distribution ? distributions++ : -1, has_state ? hidden_states++ : -1});
    }
  }
  std::stable_sort(places.begin(), places.end(), [&](const TokenPlace& a, const TokenPlace& b) {
    return rows.sources[a.row] < rows.sources[b.row];
  });
  return places;
}

/** Looks up what each of the tokens may see. */
T5DecoderStep EncoderDecoder::arrange(const StepRows& rows, const Cells::Plan& plan, const TokenPlace* begin,
                                      const TokenPlace* end) const {
  const T5Parameters& p = model_.parameters;
  const RelativePosition relative(p.relative_attention_num_buckets, p.relative_attention_max_distance, false);
  T5DecoderStep step;
  for (const auto* place = begin; place != end; ++place) step.slots = std::max(step.slots, place->position + 1);
  step.slots = graph_.slots_for(step.slots);
  int32_t previous = -1;
  for (const auto* place = begin; place != end; ++place) {
    const int32_t number = rows.sources[place->row];
    if (step.spans.empty() || number != previous) step.spans.push_back({&source(number), 0});
    previous = number;
    ++step.spans.back().count;
    if (place->is_output()) step.output_columns.push_back(static_cast<int32_t>(step.tokens.size()));
    const auto& table = plan.tables[place->row];
    step.tokens.push_back(place->token);
    step.lengths.push_back(static_cast<int32_t>(place->position + 1));
    step.new_cells.push_back(table[static_cast<size_t>(place->position)]);
    for (int64_t slot = 0; slot < step.slots; ++slot) {
      // A hidden slot reads the token's own cell, which holds finite numbers, and gets no weight.
      const bool visible = slot <= place->position;
      step.cells.push_back(table[static_cast<size_t>(visible ? slot : place->position)]);
      step.buckets.push_back(visible ? relative.bucket(slot - place->position) : 0);
      step.mask.push_back(visible ? 0.0F : -std::numeric_limits<float>::infinity());
    }
  }
  return step;
}

/** With the graph of the step before where that has the same shape. */
void EncoderDecoder::run_decoder(const T5DecoderStep& step) {
  if (decoder_ && runner_.holds(decoder_->graph) && decoder_->fits(step)) {
    decoder_->take(step);
  } else {
    decoder_.emplace(graph_.decoder(step, cell_store_));
    auto* logits = decoder_->outputs.logits;
    if (is_cpu(device_) && logits != nullptr) decoder_->graph.hand_out(logits, targets_);
  }
  runner_.run(decoder_->graph);
}

void EncoderDecoder::compute(const StepRows& rows, const Cells::Plan& plan, OutputReceiver& receiver) {
  const std::vector<TokenPlace> places = order_by_source(rows);
  size_t longest = 1;
  for (const auto& table : plan.tables) longest = std::max(longest, table.size());
  const auto slots = static_cast<size_t>(graph_.slots_for(static_cast<int64_t>(longest)));
  const size_t piece = std::max<size_t>(1, max_seen_cells / slots);
  for (size_t first = 0; first < places.size(); first += piece) {
    const TokenPlace* begin = places.data() + first;
    const TokenPlace* end = places.data() + std::min(places.size(), first + piece);
    std::vector<const TokenPlace*> columns;
    targets_ = {&receiver, {}};
    for (const auto* place = begin; place != end; ++place) {
      if (!place->is_output()) continue;
      columns.push_back(place);
      targets_.numbers.push_back(place->distribution);
    }
    run_decoder(arrange(rows, plan, begin, end));
    hand_out(columns, receiver);
  }
}

/** Hands out what the graph has not: `places` are those of the output columns. */
void EncoderDecoder::hand_out(const std::vector<const TokenPlace*>& places, OutputReceiver& receiver) {
  std::vector<float> values;
  for (size_t column = 0; column < places.size(); ++column) {
    if (places[column]->hidden_state >= 0) {
      read_row(decoder_->outputs.hidden_states, column, values);
      receiver.receive_hidden_state(static_cast<size_t>(places[column]->hidden_state), values.data(), values.size());
    }
    if (!decoder_->graph.hands_out() && places[column]->distribution >= 0) {
      read_row(decoder_->outputs.logits, column, values);
      targets_.receive(column, values.data());
    }
  }
}

void EncoderDecoder::step(const StepRows& rows, OutputReceiver& receiver) {
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
  // Another source may come to lie where this one was.
  if (!sources.empty()) decoder_.reset();
  for (const int32_t source : sources) sources_.erase(source);
}

}  // namespace tandem
