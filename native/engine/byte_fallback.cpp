#include "engine/byte_fallback.h"

#include <cstdint>

namespace tandem {

namespace {

constexpr size_t code_points = 0x110000;
constexpr size_t part_bytes = 4096;

struct Character {
  uint32_t code_point;
  size_t length;  // bytes; 0 where the bytes are no UTF-8
};

Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const uint32_t first = byte(0);
  const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length == 0 || at + length > text.size()) return {0, 0};
  uint32_t code_point = length == 1 ? first : first & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    code_point = code_point << 6 | (byte(i) & 0x3f);
  }
  return code_point < code_points ? Character{code_point, length} : Character{0, 0};
}

}  // namespace

ByteFallback::ByteFallback(const llama_vocab* vocabulary) : known_(code_points, false) {
  const Library& llama = library();
  const int32_t count = llama.llama_vocab_n_tokens(vocabulary);
  for (llama_token token = 0; token < count; ++token) {
    const std::string_view text = llama.llama_vocab_get_text(vocabulary, token);
    for (size_t at = 0; at < text.size();) {
      const auto [code_point, length] = character_at(text, at);
      if (length > 0) known_[code_point] = true;
      at += length > 0 ? length : 1;
    }
  }
  // The tokenizer spells it ▁, which is what then counts.
  known_[' '] = true;
}

std::vector<std::string_view> ByteFallback::split(std::string_view text) const {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto [code_point, length] = character_at(text, at);
    if (at - begin >= part_bytes && length > 0 && !known_[code_point]) {
      parts.push_back(text.substr(begin, at - begin));
      begin = at;
    }
    at += length > 0 ? length : 1;
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::string_view ByteFallback::first_character(std::string_view part) {
  return part.substr(0, character_at(part, 0).length);
}

}  // namespace tandem
