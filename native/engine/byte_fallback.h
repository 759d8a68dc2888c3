#pragma once
#include <string_view>
#include <vector>

#include "engine/library.h"

namespace tandem {

/**
 * Cuts a text where llama.cpp's SentencePiece tokenizer cannot look across: before a character that no token holds, which
 * it spells in bytes. llama.cpp allocates its whole output anew for each of those (`resegment` reserves exactly one more),
 * so that a megabyte of Chinese took 49 s with a vocabulary that has none, and takes 2 s in pieces.
 */
class ByteFallback {
 public:
  explicit ByteFallback(const llama_vocab* vocabulary);
  /** Parts of at least some kilobytes; every part but the first begins with such a character. */
  std::vector<std::string_view> split(std::string_view text) const;
  static std::string_view first_character(std::string_view part);

 private:
  std::vector<bool> known_;  // by code point
};

}  // namespace tandem
