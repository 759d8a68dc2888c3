#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/byte_fallback.h"
#include "engine/handles.h"
#include "engine/special_tokens.h"

namespace tandem {

/** The fields are those of `VocabularyDescription` in src/native/addon.ts. */
struct VocabularyDescription {
  int32_t vocabulary_size = 0;
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  std::vector<int32_t> special_ids;
  std::vector<int32_t> left_stripping_ids;
  std::vector<int32_t> right_stripping_ids;
  int32_t eos_id = LLAMA_TOKEN_NULL;
  std::vector<int32_t> end_of_generation_ids;
};

/** The tokenizer of a GGUF file, loaded without the weights. Any thread may call it at any time. */
class Vocabulary {
 public:
  /** Throws EngineError `unsupported-model` with llama.cpp's reason, or `invalid-file`. */
  explicit Vocabulary(const std::string& path);

  const VocabularyDescription& description() const { return description_; }
  /**
   * Ids of a text without those of the prefix and the suffix; control and unknown tokens that it spells are text unless
   * `parse_special`. Works on a thread whose stack fits the text.
   */
  std::vector<int32_t> tokenize(const std::string& text, bool parse_special) const;
  /** Bytes of the text of ids, all of them in the vocabulary, special tokens included. */
  std::string detokenize(const std::vector<int32_t>& ids) const;
  /** Texts that are being tokenized end with EngineError `disposed`. */
  void close() { closed_ = true; }

 private:
  void load(const std::string& path);
  void describe();
  void require_added_tokens(enum llama_vocab_type type) const;
  void append(std::string_view text, std::vector<int32_t>& ids) const;
  std::vector<int32_t> tokens(std::string_view text, bool add_special) const;

  LlamaModelHandle model_;
  const llama_vocab* vocabulary_ = nullptr;
  std::optional<SpecialTokens> special_tokens_;
  std::optional<ByteFallback> byte_fallback_;
  VocabularyDescription description_;
  std::atomic<bool> closed_{false};
};

}  // namespace tandem
