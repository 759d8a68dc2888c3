#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

struct Candidate {
  int32_t id;
  float score;
};

/** The `count` best of `row [size]`, best first; of equal scores the lower id first, as torch's argmax chooses. */
std::vector<Candidate> best_candidates(const float* row, size_t size, size_t count);

/** log(sum(exp(row))), computed against overflow by the largest score; sums in double. */
float log_sum_exp(const float* row, size_t size);

}  // namespace tandem
