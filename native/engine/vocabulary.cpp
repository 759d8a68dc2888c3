#include "engine/vocabulary.h"

#include <algorithm>
#include <chrono>

#include "engine/error.h"
#include "engine/sized_thread.h"

namespace tandem {

namespace {

// Most of llama.cpp's pre-tokenizers are matched with std::regex, which calls itself for every character of a run:
// 352 bytes of stack for each, measured over all pre-tokenizers of v0.5.0 on x86-64 with libstdc++. Three times as much
// leaves room for other compilers; pages that are not needed are never touched.
constexpr size_t stack_per_character = 1024;
constexpr size_t stack_at_least = 16U << 20;

// A regular expression is compiled anew for every piece between two special tokens, 6 ms each for the slowest
// pre-tokenizer. No text that somebody wrote comes near this.
constexpr std::chrono::seconds time_limit{30};

size_t stack_for(const std::string& text) {
  const auto characters = std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; });
  return stack_at_least + stack_per_character * static_cast<size_t>(characters);
}

/** Text of a function of llama.cpp that returns its length, or the negative of it where the text does not fit. */
template <typename Fill>
std::string filled(size_t expected, Fill fill) {
  std::string text(expected, '\0');
  int32_t length = fill(text.data(), static_cast<int32_t>(text.size()));
  if (length < 0) {
    text.resize(static_cast<size_t>(-length));
    length = fill(text.data(), -length);
  }
  text.resize(static_cast<size_t>(std::max(length, 0)));
  return text;
}

}  // namespace

Vocabulary::Vocabulary(const std::string& path) {
  run_on_sized_thread(stack_at_least, [&] {
    load(path);
    describe();
  });
}

void Vocabulary::load(const std::string& path) {
  const Library& llama = library();
  ggml_backend_dev_t no_devices[] = {nullptr};
  auto parameters = llama.llama_model_default_params();
  parameters.devices = no_devices;
  parameters.vocab_only = true;
  take_log();
  model_.reset(llama.llama_model_load_from_file(path.c_str(), parameters));
  if (!model_) throw EngineError("unsupported-model", "llama.cpp cannot load " + path + ". " + take_log());
  vocabulary_ = llama.llama_model_get_vocab(model_.get());
  special_tokens_.emplace(vocabulary_);
  if (llama.llama_vocab_type(vocabulary_) == LLAMA_VOCAB_TYPE_SPM) byte_fallback_.emplace(vocabulary_);
}

void Vocabulary::describe() {
  const Library& llama = library();
  require_added_tokens(llama.llama_vocab_type(vocabulary_));
  description_.vocabulary_size = llama.llama_vocab_n_tokens(vocabulary_);
  description_.eos_id = llama.llama_vocab_eos(vocabulary_);
  for (llama_token token = 0; token < description_.vocabulary_size; ++token) {
    constexpr int special = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN;
    const int attributes = llama.llama_vocab_get_attr(vocabulary_, token);
    if ((attributes & special) != 0) description_.special_ids.push_back(token);
    if ((attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0) description_.left_stripping_ids.push_back(token);
    if ((attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0) description_.right_stripping_ids.push_back(token);
    if (llama.llama_vocab_is_eog(vocabulary_, token)) description_.end_of_generation_ids.push_back(token);
  }
  const auto added = tokens("", true);
  const bool adds_bos = !added.empty() && llama.llama_vocab_get_add_bos(vocabulary_);
  description_.prefix_ids.assign(added.begin(), added.begin() + (adds_bos ? 1 : 0));
  description_.suffix_ids.assign(added.begin() + (adds_bos ? 1 : 0), added.end());
}

/** libllama ends the process when it is to add a token that the vocabulary does not have. */
void Vocabulary::require_added_tokens(enum llama_vocab_type type) const {
  const Library& llama = library();
  if (type != LLAMA_VOCAB_TYPE_SPM && type != LLAMA_VOCAB_TYPE_BPE) return;
  if (llama.llama_vocab_get_add_bos(vocabulary_) && llama.llama_vocab_bos(vocabulary_) == LLAMA_TOKEN_NULL) {
    throw EngineError("invalid-file", "texts are to begin with a bos token, but the file names none");
  }
  if (llama.llama_vocab_get_add_eos(vocabulary_) && llama.llama_vocab_eos(vocabulary_) == LLAMA_TOKEN_NULL) {
    throw EngineError("invalid-file", "texts are to end with an eos token, but the file names none");
  }
}

std::vector<int32_t> Vocabulary::tokenize(const std::string& text, bool parse_special) const {
  std::vector<int32_t> ids;
  run_on_sized_thread(stack_for(text), [&] {
    const auto deadline = std::chrono::steady_clock::now() + time_limit;
    for (const auto& piece : special_tokens_->partition(text, parse_special)) {
      if (closed_) throw EngineError("disposed", "the tokenizer has been disposed");
      if (std::chrono::steady_clock::now() > deadline) {
        throw EngineError("invalid-argument", "the text takes llama.cpp's tokenizer longer than " +
                                                  std::to_string(time_limit.count()) + " seconds");
      }
      if (piece.token != LLAMA_TOKEN_NULL) {
        ids.push_back(piece.token);
      } else {
        append(std::string_view(text).substr(piece.begin, piece.length), ids);
      }
    }
  });
  return ids;
}

/** Appends the ids of a text without control tokens. */
void Vocabulary::append(std::string_view text, std::vector<int32_t>& ids) const {
  const auto parts = byte_fallback_ ? byte_fallback_->split(text) : std::vector<std::string_view>{text};
  size_t space_prefix = 0;
  if (parts.size() > 1) {
    // Every call puts a space before the text; before a character that is spelled in bytes its tokens stand alone.
    const auto first = ByteFallback::first_character(parts[1]);
    space_prefix = tokens(first, false).size() - first.size();
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto part = tokens(parts[i], false);
    const auto begin = part.begin() + static_cast<std::ptrdiff_t>(i == 0 ? 0 : space_prefix);
    ids.insert(ids.end(), begin, part.end());
  }
}

std::vector<int32_t> Vocabulary::tokens(std::string_view text, bool add_special) const {
  const Library& llama = library();
  const auto tokenize = [&](std::vector<int32_t>& ids) {
    return llama.llama_tokenize(vocabulary_, text.data(), static_cast<int32_t>(text.size()), ids.data(),
                                static_cast<int32_t>(ids.size()), add_special, false);
  };
  std::vector<int32_t> ids(text.size() + 8);
  int32_t count = tokenize(ids);
  if (count < 0) {
    ids.resize(static_cast<size_t>(-count));
    count = tokenize(ids);
  }
  ids.resize(static_cast<size_t>(std::max(count, 0)));
  const int32_t size = llama.llama_vocab_n_tokens(vocabulary_);
  if (std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= size; })) {
    throw EngineError("invalid-file", "llama.cpp's tokenizer leaves its vocabulary: the file names no unknown token");
  }
  return ids;
}

std::string Vocabulary::detokenize(const std::vector<int32_t>& ids) const {
  const Library& llama = library();
  if (llama.llama_vocab_type(vocabulary_) == LLAMA_VOCAB_TYPE_BPE) {
    // `llama_detokenize` removes spaces before punctuation from GPT-2's texts, which transformers no longer does.
    std::string text;
    for (const int32_t id : ids) {
      text += filled(8, [&](char* piece, int32_t size) {
        return llama.llama_token_to_piece(vocabulary_, id, piece, size, 0, true);
      });
    }
    return text;
  }
  return filled(8 * ids.size() + 8, [&](char* text, int32_t size) {
    return llama.llama_detokenize(vocabulary_, ids.data(), static_cast<int32_t>(ids.size()), text, size, false, true);
  });
}

}  // namespace tandem
