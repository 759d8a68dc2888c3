#pragma once
#include <cstddef>
#include <vector>

namespace tandem {

/** log(sum(exp(row))), computed against overflow by the largest score; sums in double. */
float log_sum_exp(const float* row, size_t size);

/** Makes `row [size]` log-probabilities; one of banned tokens only stays what it is. */
void log_softmax(float* row, size_t size);

/** The probabilities of `scores`; all zero when there are none, of banned tokens only or of an infinite score. */
std::vector<float> softmax(const std::vector<float>& scores);

}  // namespace tandem
