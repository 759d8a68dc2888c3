#pragma once
#include "kernels/packed_layout.h"

// What a product fetches from memory while it multiplies. `Set` is the instruction set, by which these are of one file alone, as
// packed_product.h explains.
namespace tandem::kernels {

template <typename Set, PackedType Type>
Panel<Type> panel_at(const std::byte* panels, size_t index, size_t block_count) {
  const auto* blocks = reinterpret_cast<const PackedBlock<Type>*>(panels + index * panel_bytes(Type, block_count));
  const auto* scales = reinterpret_cast<const PackedScales<Type>*>(blocks + block_count);
  return {blocks, scales, reinterpret_cast<const PackedFactors*>(scales + block_count)};
}

/**
 * For rows that pass the panels once, in sets with a reach: what is multiplied `Set::reach` blocks later, into the first cache.
 * The panels are then as many streams of the memory: on Cascade Lake 22.2 GB/s came so to two threads, 19.4 with whole panels
 * ahead, and 20.1 where they merely read.
 */
template <typename Set, PackedType Type, size_t Panels>
class LaterBlocks {
 public:
  /** Of a block: its lines and its scales. */
  static constexpr size_t parts = lines_of(Type) + 1;

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
      const auto& panel = source_[i];
      const bool is_line = part < parts - 1;
      const void* next = is_line ? static_cast<const void*>(panel.blocks[block_].lines[part]) : panel.scales + block_;
      __builtin_prefetch(next, 0, 3);
    }
  }

 private:
  Panel<Type> panels_[2 * Panels];  // and the next ones
  size_t block_count_;
  const Panel<Type>* source_ = nullptr;  // set with each block, for this object is copied
  size_t block_ = 0;
};

/** For rows that pass the panels once, in the other sets: the next panels, into the second cache. */
template <typename Set, PackedType Type, size_t Panels>
class NextPanelsAtOnce {
 public:
  static constexpr size_t parts = lines_of(Type) + 1;

  NextPanelsAtOnce(const std::byte* panels, size_t block_count) : at_(panels + Panels * panel_bytes(Type, block_count)) {}

  void start_block(size_t) {}
  void fetch(size_t) {
    for (size_t i = 0; i < Panels; ++i, at_ += step) __builtin_prefetch(at_, 0, 2);
  }

 private:
  static constexpr size_t step = (lines_of(Type) * cache_line + scale_bytes_of(Type) + parts - 1) / parts;
  const std::byte* at_;
};

/**
 * For rows that pass the panels in pieces: the next panels into the second cache, an equal share of them with each piece, for
 * the memory to be as busy in the pieces that find their weights in the cache as in the first.
 */
template <typename Set, PackedType Type, size_t Panels>
class NextPanels {
 public:
  static constexpr size_t parts = 0;

  NextPanels(const std::byte* panels, size_t block_count, size_t pieces) {
    const size_t bytes = Panels * panel_bytes(Type, block_count);
    const size_t turns = block_count * pieces;
    lines_ = (bytes / cache_line + turns - 1) / turns;
    step_ = (bytes + turns * lines_ - 1) / (turns * lines_);
    share_ = block_count * lines_ * step_;
    at_ = panels + bytes;
  }

  void next_piece() { at_ += share_; }
  void start_block(size_t) {
    for (size_t i = 0; i < lines_; ++i, at_ += step_) __builtin_prefetch(at_, 0, 2);
  }
  void fetch(size_t) {}

 private:
  const std::byte* at_;
  size_t lines_;  // with each block, the more the fewer pieces there are
  size_t step_;   // bytes from one to the next
  size_t share_;  // bytes of a piece
};

}  // namespace tandem::kernels
