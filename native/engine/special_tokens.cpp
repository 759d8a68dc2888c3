#include "engine/special_tokens.h"

#include <algorithm>
#include <cctype>
#include <map>

namespace tandem {

namespace {

bool is_space(char character) { return std::isspace(static_cast<unsigned char>(character)) != 0; }

/** Which pairs of neighbouring bytes a text has: most special tokens are ruled out without a search. */
class BytePairs {
 public:
  explicit BytePairs(const std::string& text) : present_(65536, false) {
    for (size_t i = 1; i < text.size(); ++i) present_[pair(text, i)] = true;
  }

  bool may_contain(const std::string& part) const {
    for (size_t i = 1; i < part.size(); ++i) {
      if (!present_[pair(part, i)]) return false;
    }
    return true;
  }

 private:
  static size_t pair(const std::string& text, size_t second) {
    return static_cast<size_t>(static_cast<unsigned char>(text[second - 1])) << 8 |
           static_cast<unsigned char>(text[second]);
  }

  std::vector<bool> present_;
};

}  // namespace

SpecialTokens::SpecialTokens(const llama_vocab* vocabulary) {
  const Library& llama = library();
  constexpr int special = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
  const int32_t count = llama.llama_vocab_n_tokens(vocabulary);
  for (llama_token token = 0; token < count; ++token) {
    const int attributes = llama.llama_vocab_get_attr(vocabulary, token);
    if ((attributes & special) == 0) continue;
    specials_.push_back({token, llama.llama_vocab_get_text(vocabulary, token),
                         (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0,
                         (attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0, (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0});
  }
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const Special& a, const Special& b) { return a.text.size() > b.text.size(); });
}

/** Takes the token at `at`, and the spaces that it strips, out of the stretch that holds it. */
void SpecialTokens::take(const Special& special, size_t at, const std::string& text, Stretches& free) {
  const auto stretch = std::prev(free.upper_bound(at));
  const auto [begin, end] = *stretch;
  size_t left = at;
  size_t right = at + special.text.size();
  while (special.strips_left && left > begin && is_space(text[left - 1])) --left;
  while (special.strips_right && right < end && is_space(text[right])) ++right;
  free.erase(stretch);
  if (left > begin) free.emplace(begin, left);
  if (right < end) free.emplace(right, end);
}

std::vector<TextPiece> SpecialTokens::partition(const std::string& text, bool parse_special) const {
  std::vector<TextPiece> pieces;
  const BytePairs pairs(text);
  Stretches free;
  if (!text.empty()) free.emplace(0, text.size());
  for (const auto& special : specials_) {
    if ((special.is_control && !parse_special) || !pairs.may_contain(special.text)) continue;
    const size_t length = special.text.size();
    for (size_t at = text.find(special.text); at != std::string::npos;) {
      const auto next = free.upper_bound(at);
      const auto stretch = next == free.begin() ? free.end() : std::prev(next);
      if (stretch == free.end() || stretch->second < at + length) {
        at = next == free.end() ? std::string::npos : text.find(special.text, next->first);
        continue;
      }
      take(special, at, text, free);
      pieces.push_back({special.token, at, length});
      at = text.find(special.text, at + length);
    }
  }
  for (const auto& [begin, end] : free) pieces.push_back({LLAMA_TOKEN_NULL, begin, end - begin});
  std::sort(pieces.begin(), pieces.end(), [](const TextPiece& a, const TextPiece& b) { return a.begin < b.begin; });
  return pieces;
}

}  // namespace tandem
