#pragma once
#include <cstddef>

namespace tandem {

// The warpers of sampling, each as transformers 5.23 defines it (`generation/logits_process.py`). A warper bans tokens of
// `row [size]` by giving them minus infinity; it sees the row as the warpers before it left it. `kept` is transformers'
// `min_tokens_to_keep`.

/** Keeps the `count` best, and those that equal the last of them (Fan et al. 2018). */
void warp_top_k(float* row, size_t size, size_t count);
/** Keeps the smallest set of the most probable tokens whose mass reaches `top_p` (Holtzman et al. 2020). */
void warp_top_p(float* row, size_t size, double top_p, size_t kept);
/** Keeps what has at least `min_p` times the largest probability (Nguyen et al. 2024). */
void warp_min_p(float* row, size_t size, float min_p, size_t kept);
/** Keeps the tokens whose information is nearest to the entropy, up to a mass (Meister et al. 2022). */
void warp_typical_p(float* row, size_t size, float mass, size_t kept);
/** Keeps what has at least the probability `epsilon` (Hewitt et al. 2022). */
void warp_epsilon_cutoff(float* row, size_t size, float epsilon, size_t kept);
/** As `epsilon_cutoff`, with a bound that falls with the entropy (Hewitt et al. 2022). */
void warp_eta_cutoff(float* row, size_t size, float epsilon, size_t kept);
/** Keeps of the 100 best those whose summed entropy stays below `top_h` times the whole (Baghaei Potraghloo et al. 2025). */
void warp_top_h(float* row, size_t size, float top_h);

}  // namespace tandem
