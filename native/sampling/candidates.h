#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace tandem {

/** The score of a token that must not follow. */
constexpr float banned = -std::numeric_limits<float>::infinity();

/** A token that may follow one of the rows that compete. */
struct Candidate {
  int32_t id;
  float score;
  int32_t row = 0;
};

/** Higher scores first; of equal ones the earlier row, then the lower id, as torch's argmax chooses. */
bool better(const Candidate& a, const Candidate& b);

/** The `count` best of `row [size]`, best first; without those that are banned or no numbers. */
std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count);

}  // namespace tandem
