#pragma once
#include <algorithm>
#include <cstddef>

#include "kernels/kernel_set.h"

namespace tandem {

/** Pieces of rows of activations, at least one, so small that they stay in a core's second cache while all panels pass by. */
inline size_t row_pieces(size_t rows, size_t row_bytes) {
  constexpr size_t cached_bytes = 256 << 10;
  return std::clamp<size_t>((rows * row_bytes + cached_bytes - 1) / cached_bytes, 1, std::max<size_t>(rows, 1));
}

/**
 * How threads share the panels of a product: in each round every thread takes a piece, and all of them half of what is left;
 * in the last one all of it. Large pieces are read in one go, small ones end together.
 */
class PanelPieces {
 public:
  /** How many; some are empty where there are few panels. */
  static size_t count(size_t threads) { return threads * rounds; }

  PanelPieces(size_t panels, size_t count)
      : groups_((panels + kernels::panels_together - 1) / kernels::panels_together), threads_(count / rounds) {}

  /** The panel that piece `piece` begins with; for the piece behind the last none that there is. */
  size_t first(size_t piece) const {
    const size_t round = std::min(piece / threads_, rounds - 1);
    const size_t in_round = round == rounds - 1 ? threads_ : 2 * threads_;  // pieces of its size in what is left before it
    const size_t taken = piece - round * threads_;
    return (groups_ - (groups_ * (in_round - taken) / in_round >> round)) * kernels::panels_together;
  }

 private:
  static constexpr size_t rounds = 5;
  size_t groups_;
  size_t threads_;
};

}  // namespace tandem
