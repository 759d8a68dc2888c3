#pragma once
#include "kernels/packed_layout.h"

// What a product fetches from memory while it multiplies, a part with every turn of a line. `Set` is the instruction set, by
// which these are of one file alone, as packed_product.h explains.
namespace tandem::kernels {

/** Parts of a block: its lines and its scales. */
template <PackedType Type>
constexpr size_t fetches_of_block = lines_of(Type) + 1;

template <typename Set, PackedType Type>
Panel<Type> panel_at(const std::byte* panels, size_t index, size_t block_count) {
  const auto* blocks = reinterpret_cast<const PackedBlock<Type>*>(panels + index * panel_bytes(Type, block_count));
  const auto* scales = reinterpret_cast<const PackedScales<Type>*>(blocks + block_count);
  return {blocks, scales, reinterpret_cast<const PackedFactors*>(scales + block_count)};
}

/**
 * The next panels into the second cache, for rows that pass the panels in several pieces: an equal share of them with each
 * piece, for the memory to be as busy in the pieces that find their weights in the cache as in the first.
 */
template <typename Set, PackedType Type, size_t Panels>
class NextPanels {
 public:
  NextPanels(const std::byte* panels, size_t block_count, size_t piece, size_t pieces) {
    const size_t bytes = Panels * panel_bytes(Type, block_count);
    const size_t block_bytes = lines_of(Type) * cache_line + scale_bytes_of(Type);
    const size_t steps = fetches_of_block<Type> * pieces;
    at_ = panels + bytes + bytes * piece / pieces;
    step_ = (block_bytes + steps - 1) / steps;
  }

  void start_block(size_t) {}
  void fetch(size_t) {
    for (size_t i = 0; i < Panels; ++i, at_ += step_) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const std::byte* at_;
  size_t step_;
};

/**
 * What is multiplied `Set::reach` blocks later, into the first cache, for rows that pass the panels once. The panels are then
 * as many streams of the memory: on Cascade Lake 22.2 GB/s came so to two threads, 19.4 with whole panels ahead, 20.1 where
 * they merely read.
 */
template <typename Set, PackedType Type, size_t Panels>
class LaterBlocks {
 public:
  LaterBlocks(const std::byte* panels, size_t block_count) : block_count_(block_count) {
    for (size_t i = 0; i < 2 * Panels; ++i) panels_[i] = panel_at<Set, Type>(panels, i, block_count);
  }

  void start_block(size_t block) {
    const bool is_in_next = block + Set::reach >= block_count_;
    source_ = is_in_next ? panels_ + Panels : panels_;
    block_ = block + Set::reach - (is_in_next ? block_count_ : 0);
  }
  void fetch(size_t part) {
    for (size_t i = 0; i < Panels; ++i) {
      const auto& block = source_[i].blocks[block_];
      const bool is_line = part < lines_of(Type);
      __builtin_prefetch(is_line ? static_cast<const void*>(block.lines[part]) : source_[i].scales + block_, 0, 3);
    }
  }

 private:
  Panel<Type> panels_[2 * Panels];  // and the next ones
  size_t block_count_;
  const Panel<Type>* source_;
  size_t block_;
};

}  // namespace tandem::kernels
