#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

/** A token that may follow one of the rows that compete. */
struct Candidate {
  int32_t id;
  float score;
  int32_t row = 0;
};

/** Higher scores first; of equal ones the earlier row, then the lower id, as torch's argmax chooses. */
bool better(const Candidate& a, const Candidate& b);

/** The `count` best of `row [size]` whose score is a finite number, best first. */
std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count);

}  // namespace tandem
