#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/library.h"

namespace tandem {

/** A piece of a text: a special token, or text between two of them. */
struct TextPiece {
  llama_token token;  // LLAMA_TOKEN_NULL for text
  size_t begin;
  size_t length;  // bytes
};

/**
 * Finds the special tokens of a text as llama.cpp's `tokenizer_st_partition` does: the longest token first, each from left
 * to right, and the spaces beside it that its attributes strip. llama.cpp itself walks its whole list of pieces for every
 * find, which takes 15 minutes for a megabyte of `<s>`; this takes a tenth of a second.
 */
class SpecialTokens {
 public:
  explicit SpecialTokens(const llama_vocab* vocabulary);
  /** Control and unknown tokens are text unless `parse_special`. */
  std::vector<TextPiece> partition(const std::string& text, bool parse_special) const;

 private:
  struct Special {
    llama_token token;
    std::string text;
    bool is_control;
    bool strips_left;
    bool strips_right;
  };
  /** Stretches of a text that no token has taken yet: begin → end. */
  using Stretches = std::map<size_t, size_t>;

  static void take(const Special& special, size_t at, const std::string& text, Stretches& free);

  std::vector<Special> specials_;  // longest first
};

}  // namespace tandem
