#pragma once
#include "kernels/online_softmax.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/** Attention of one row to cells that lie anywhere, for `InstructionSet` as in online_softmax.h. */
template <typename InstructionSet>
struct CellAttentionKernel {
  using Set = InstructionSet;
  using Floats = typename Set::Floats;
  using Softmax = OnlineSoftmax<Set>;
  /** Cells from which keys are fetched before they are needed: two turns of four. */
  static constexpr size_t cells_ahead = 8;

  static void attend_cells(const CellAttention& task) {
    Softmax state;
    Softmax::clear(task.output, task.head_size);
    for (size_t first = 0; first < task.count; first += tile_keys) {
      const size_t count = task.count - first < tile_keys ? task.count - first : tile_keys;
      float weights[tile_keys];
      for (size_t j = 0; j < count;) j += score_cells<4>(task, {first, count}, j, weights);
      Softmax::hide_behind(count, tile_keys, weights);
      Softmax::shrink(task.output, task.head_size, state.see(weights, 1));
      state.weigh(weights, 1);
      for (size_t i = 0; i < task.head_size;) i += add_cells<8>(task, {first, count}, weights, i);
    }
    state.finish(task.output, task.head_size, task.log_sum);
  }

 private:
  /** Some of those that are listed. */
  struct Cells {
    size_t first;
    size_t count;
  };

  /** Adds the values of some cells to at most that many vectors of the output from `i` on; the size of the vectors. */
  template <size_t Count>
  static size_t add_cells(const CellAttention& task, const Cells& cells, const float* weights, size_t i) {
    if constexpr (Count > 1) {
      if (task.head_size - i < Count * Set::lanes) return add_cells<Count / 2>(task, cells, weights, i);
    }
    Floats sums[Count];
    for (size_t v = 0; v < Count; ++v) sums[v] = Set::load(task.output + i + v * Set::lanes);
    for (size_t j = 0; j < cells.count; ++j) {
      const uint16_t* values = task.values + static_cast<size_t>(task.cells[cells.first + j]) * task.cell_stride + i;
      const auto weight = Set::broadcast(weights[j]);
      for (size_t v = 0; v < Count; ++v) {
        sums[v] = Set::multiply_add(weight, Set::load_halves(values + v * Set::lanes), sums[v]);
      }
    }
    for (size_t v = 0; v < Count; ++v) Set::store(task.output + i + v * Set::lanes, sums[v]);
    return Count * Set::lanes;
  }

  static void fetch(const uint16_t* halves, size_t size) {
    for (size_t i = 0; i < size; i += cache_line / sizeof(uint16_t)) __builtin_prefetch(halves + i, 0, 2);
  }

  /** The scores of at most that many cells from the `begin`th on; how many. */
  template <size_t Count>
  static size_t score_cells(const CellAttention& task, const Cells& cells, size_t begin, float* scores) {
    if constexpr (Count > 1) {
      if (cells.count - begin < Count) return score_cells<Count / 2>(task, cells, begin, scores);
    }
    const size_t first = cells.first + begin;
    const uint16_t* keys[Count];
    Floats sums[Count];
    for (size_t j = 0; j < Count; ++j) {
      const size_t place = static_cast<size_t>(task.cells[first + j]) * task.cell_stride;
      keys[j] = task.keys + place;
      sums[j] = Set::broadcast(0.0F);
      // Cells lie anywhere: no processor foresees which keys and values follow.
      fetch(task.values + place, task.head_size);
      const size_t ahead = first + j + cells_ahead;
      if (ahead < task.count) fetch(task.keys + static_cast<size_t>(task.cells[ahead]) * task.cell_stride, task.head_size);
    }
    for (size_t i = 0; i < task.head_size; i += Set::lanes) {
      const auto query = Set::load(task.query + i);
      for (size_t j = 0; j < Count; ++j) sums[j] = Set::multiply_add(query, Set::load_halves(keys[j] + i), sums[j]);
    }
    for (size_t j = 0; j < Count; ++j) scores[begin + j] = Set::sum_of_lanes(sums[j]) * task.scale;
    if (task.softcap != 0) Softmax::cap(scores + begin, Count, task.softcap);
    for (size_t j = 0; j < Count; ++j) scores[begin + j] += task.bias[first + j];
    return Count;
  }
};

}  // namespace tandem::kernels
