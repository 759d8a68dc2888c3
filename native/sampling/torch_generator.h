#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "sampling/candidates.h"

namespace tandem {

/**
 * torch's random generator of a CPU (x86-64, torch 2.15): `torch.manual_seed(seed)` and then `torch.multinomial` without
 * replacement, bit for bit. MT19937 of the low 32 bits of the seed; two outputs make a uniform of 53 bits, a uniform
 * makes an exponential draw q in double, and the k largest of p / q are what was drawn, the best first.
 */
class TorchGenerator {
 public:
  explicit TorchGenerator(uint32_t seed) : engine_(seed) {}

  /** `-log1p(-u)`; takes two outputs of the engine. */
  float exponential();
  /** Goes past the draws of `count` values. */
  void discard(size_t count) { engine_.discard(2ULL * count); }
  /**
   * One draw of `count` distinct entries of `probabilities`, each of which takes a draw of its own, those of zero
   * probability too. Fewer come back when fewer have a probability above zero. `score` of a result is p / q.
   */
  std::vector<Candidate> multinomial(const std::vector<float>& probabilities, size_t count);

 private:
  std::mt19937 engine_;
};

}  // namespace tandem
