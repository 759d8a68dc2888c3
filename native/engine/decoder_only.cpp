#include "engine/decoder_only.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "engine/error.h"

namespace tandem {

namespace {

constexpr int32_t hidden_state_batch = 64;
/**
 * libllama attends to cells by the 256 (`llama_kv_cache::get_n_kv`), and for a single token ggml parts 512 and more among the
 * threads (`ggml_compute_forward_flash_attn_ext_f16`).
 */
constexpr int32_t unparted_cells = 256;
/** As a search has rows, or a turn of a conversation; a long prompt has few nodes for its work, and its threads wait less. */
constexpr int32_t few_tokens = 32;
/** To read the weights takes as long as to compute about so many tokens: Qwen2.5-0.5B took 31 ms for one and 46 for five. */
constexpr int32_t tokens_of_reading = 7;

}  // namespace

DecoderOnly::DecoderOnly(const DecoderOnlyOptions& options, const CancelFlag& cancel)
    : cancel_(cancel),
      options_(options),
      compute_threads_(options.threads),
      thread_count_(compute_threads_.count()),
      lengths_(static_cast<size_t>(options.max_sequences), 0) {
  const Library& llama = library();
  auto* device = device_named(options.device);
  is_on_cpu_ = is_cpu(device);
  model_ = load_llama_model(options, device, cancel);
  context_ = open_llama_context(model_.get(), options, cancel);
  llama.llama_attach_threadpool(context_.get(), compute_threads_.get(), nullptr);
  // libllama lowers it to a small context, and aborts on a larger batch.
  options_.batch_size = static_cast<int32_t>(llama.llama_n_batch(context_.get()));
  batch_ = llama.llama_batch_init(options_.batch_size, 0, 1);
  description_ = {llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model_.get())),
                  llama.llama_model_n_ctx_train(model_.get()), options.max_sequences, llama.llama_model_n_embd_out(model_.get()),
                  static_cast<double>(llama.llama_model_size(model_.get())), llama.ggml_backend_dev_name(device)};
}

DecoderOnly::~DecoderOnly() { library().llama_batch_free(batch_); }

void DecoderOnly::encode(int32_t, const std::vector<int32_t>&, const std::vector<uint8_t>&) {
  throw EngineError("invalid-argument", "a decoder-only model has no encoder");
}

void DecoderOnly::check(const StepRows& rows) const {
  for (size_t row = 0; row < rows.size(); ++row) {
    const int32_t known = rows.parents[row] < 0 ? 0 : lengths_[static_cast<size_t>(rows.parents[row])];
    check_position(rows, row, static_cast<size_t>(known));
    if (rows.positions[row] < known && !holds_window_before(rows.parents[row], rows.positions[row])) {
      throw EngineError("unsupported-option", "this model no longer holds what its sliding window sees from position " +
                                                  std::to_string(rows.positions[row]));
    }
    const int64_t end = static_cast<int64_t>(rows.positions[row]) + rows.token_counts[row];
    if (options_.position_limit > 0 && end > options_.position_limit) {
      throw EngineError("context-full", "the model has " + std::to_string(options_.position_limit) +
                                            " positions, and row " + std::to_string(row) + " would end at " +
                                            std::to_string(end));
    }
  }
}

/**
 * Whether a token at `position` of a sequence finds all keys and values that it attends to. libllama gives cells behind the
 * sliding window of a sequence's end to others (`llama_kv_cache::find_slot`), and goes back all the same.
 */
bool DecoderOnly::holds_window_before(int32_t sequence, int32_t position) const {
  const Library& llama = library();
  const int32_t window = llama.llama_model_n_swa(model_.get());
  const int32_t needed = std::max(position - window + 1, 0);
  return window == 0 || llama.llama_memory_seq_pos_min(llama.llama_get_memory(context_.get()), sequence) <= needed;
}

/**
 * Gives every row its parent's past, of which libllama moves no keys or values: a copy adds a number to its cells. A
 * sequence is replaced once nobody has still to read it; where rows trade places, one of them waits in the scratch sequence.
 */
void DecoderOnly::inherit(const StepRows& rows) {
  std::vector<Move> moves;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (rows.parents[row] != rows.sequences[row]) {
      moves.push_back({rows.parents[row], rows.sequences[row], rows.positions[row]});
    }
  }
  const auto is_read = [&](int32_t sequence) {
    return std::any_of(moves.begin(), moves.end(), [=](const Move& move) { return move.from == sequence; });
  };
  while (!moves.empty()) {
    const auto free = std::find_if(moves.begin(), moves.end(), [&](const Move& move) { return !is_read(move.to); });
    if (free != moves.end()) {
      copy(free->from, free->to, free->length);
      moves.erase(free);
      continue;
    }
    const int32_t kept = moves.front().to;
    copy(kept, scratch(), -1);
    for (auto& move : moves) {
      if (move.from == kept) move.from = scratch();
    }
  }
  forget(scratch(), -1);
  for (size_t row = 0; row < rows.size(); ++row) {
    auto& length = lengths_[static_cast<size_t>(rows.sequences[row])];
    if (rows.parents[row] == rows.sequences[row] && length > rows.positions[row]) {
      forget(rows.sequences[row], rows.positions[row]);
    }
    length = rows.positions[row] + rows.token_counts[row];
  }
  most_cells_ = std::max(most_cells_, std::accumulate(lengths_.begin(), lengths_.end(), 0));
}

/** Makes `to` the first `length` positions of `from`, all of them when `length` is -1; of -1, nothing. */
void DecoderOnly::copy(int32_t from, int32_t to, int32_t length) {
  forget(to, -1);
  if (from < 0) return;
  library().llama_memory_seq_cp(library().llama_get_memory(context_.get()), from, to, -1, length);
}

/** Removes what a sequence holds from `position` on. */
void DecoderOnly::forget(int32_t sequence, int32_t position) {
  auto* memory = library().llama_get_memory(context_.get());
  if (library().llama_memory_seq_rm(memory, sequence, position, -1)) return;
  throw EngineError("unsupported-option", "this model cannot forget part of a sequence");
}

void DecoderOnly::add_to_batch(int32_t token, int32_t position, int32_t sequence, uint8_t outputs) {
  const int32_t place = batch_.n_tokens++;
  batch_.token[place] = token;
  batch_.pos[place] = position;
  batch_.n_seq_id[place] = 1;
  batch_.seq_id[place][0] = sequence;
  batch_.logits[place] = outputs != 0 ? 1 : 0;
  batch_outputs_.push_back(outputs);
}

/**
 * Whether the next batch gives the same to the last bit however many threads compute it. With our attention it does. With ggml's
 * attention of one token to many cells does not: each thread sums up a part of them. libllama fills the lowest cells that are
 * free, unless a sliding window frees others on the way, so as many cells as were ever in use hold all. Of ggml's attention of
 * several tokens it is not known.
 */
bool DecoderOnly::is_same_on_any_threads() const {
  if (batch_.n_tokens > few_tokens || !is_on_cpu_) return false;
  if (attention_.is_ours && !attention_.is_ggmls) return true;
  if (batch_.n_tokens != 1) return false;
  if (options_.exact) return true;
  return most_cells_ <= unparted_cells && library().llama_model_n_swa(model_.get()) == 0;
}

int32_t DecoderOnly::compute_batch() {
  const Library& llama = library();
  const bool may_vary = is_same_on_any_threads();
  const int32_t threads = may_vary ? thread_count_.of_graph(batch_.n_tokens) : compute_threads_.count();
  if (llama.llama_n_threads(context_.get()) != threads) llama.llama_set_n_threads(context_.get(), threads, threads);
  const auto begin = std::chrono::steady_clock::now();
  const int32_t status = llama.llama_decode(context_.get(), batch_);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  attention_ = take_attention_of_graphs();
  if (may_vary && status == 0) thread_count_.record(seconds.count() / (tokens_of_reading + batch_.n_tokens));
  return status;
}

void DecoderOnly::decode_batch(OutputReceiver& receiver) {
  const Library& llama = library();
  if (cancel_.load()) throw EngineError("aborted", "the computation was cancelled");
  const int32_t status = compute_batch();
  if (status == 2 || cancel_.load()) throw EngineError("aborted", "the computation was cancelled");
  if (status == 1) {
    throw EngineError("context-full", "the context of " + std::to_string(llama.llama_n_ctx(context_.get())) +
                                          " tokens has no room for " + std::to_string(batch_.n_tokens) + " more");
  }
  if (status != 0) {
    throw EngineError("compute-failed", "llama.cpp could not decode (" + std::to_string(status) + "). " + take_log());
  }
  for (int32_t place = 0; place < batch_.n_tokens; ++place) {
    const uint8_t wanted = batch_outputs_[static_cast<size_t>(place)];
    if ((wanted & Output::hidden_state) != 0) {
      const float* state = llama.llama_get_embeddings_ith(context_.get(), place);
      if (state == nullptr) throw EngineError("compute-failed", "llama.cpp returned no hidden state. " + take_log());
      receiver.receive_hidden_state(hidden_states_++, state, static_cast<size_t>(description_.hidden_size));
    }
    if ((wanted & Output::distribution) != 0) {
      float* logits = llama.llama_get_logits_ith(context_.get(), place);
      if (logits == nullptr) throw EngineError("compute-failed", "llama.cpp returned no logits. " + take_log());
      receiver.receive(distributions_++, logits);
    }
  }
}

void DecoderOnly::decode(const StepRows& rows, OutputReceiver& receiver) {
  // For hidden states libllama computes the logits of every token of a batch: long batches would only cost memory.
  const bool wants_states = count_outputs(rows, Output::hidden_state) != 0;
  const int32_t limit = wants_states ? std::min(options_.batch_size, hidden_state_batch) : options_.batch_size;
  library().llama_set_embeddings(context_.get(), wants_states);
  int32_t outputs = 0;
  const auto clear = [&] {
    batch_.n_tokens = outputs = 0;
    batch_outputs_.clear();
  };
  clear();
  distributions_ = hidden_states_ = 0;
  size_t token = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    for (int32_t i = 0; i < rows.token_counts[row]; ++i, ++token) {
      if (batch_.n_tokens == limit || outputs == options_.max_sequences + 1) {
        decode_batch(receiver);
        clear();
      }
      add_to_batch(rows.tokens[token], rows.positions[row] + i, rows.sequences[row], rows.outputs[token]);
      outputs += rows.outputs[token] != 0;
    }
  }
  decode_batch(receiver);
}

void DecoderOnly::step(const StepRows& rows, OutputReceiver& receiver) {
  check(rows);
  try {
    inherit(rows);
    decode(rows, receiver);
  } catch (...) {
    release(rows.sequences, {});
    throw;
  }
}

void DecoderOnly::release(const std::vector<int32_t>& sequences, const std::vector<int32_t>&) {
  for (const int32_t sequence : sequences) {
    if (sequence < 0 || sequence >= options_.max_sequences) continue;
    forget(sequence, -1);
    lengths_[static_cast<size_t>(sequence)] = 0;
  }
  if (std::all_of(lengths_.begin(), lengths_.end(), [](int32_t length) { return length == 0; })) most_cells_ = 0;
}

}  // namespace tandem
