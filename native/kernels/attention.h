#pragma once
#include <cmath>
#include <cstring>

#include "kernels/kernel_set.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/**
 * Attention in one pass over the keys with a running maximum (Milakov and Gimelshein 2018, Online normalizer calculation
 * for softmax): keys and values are read a few tiles at a time, and there is no table of scores.
 *
 * `InstructionSet` as in packed_product.h; it also has `load`, `load_halves`, `store_halves`, `maximum`,
 * `largest_of_lanes` and `sum_of_lanes`.
 */
template <typename InstructionSet>
struct Attending {
  using Set = InstructionSet;
  using Floats = typename Set::Floats;
  static constexpr size_t vectors = tile_keys / Set::lanes;
  /** Rows whose sums stay in registers beside a vector of keys or values. */
  static constexpr size_t max_rows = 12 / vectors;
  /** Keys that are weighed at once: what a row costs beside its products is shared by all of them. */
  static constexpr size_t chunk_keys = 4 * tile_keys;
  /** Cells from which keys are fetched before they are needed: two turns of four. */
  static constexpr size_t cells_ahead = 8;

  static void to_halves(const float* values, size_t count, uint16_t* halves) {
    for (size_t i = 0; i < count; i += Set::lanes) Set::store_halves(halves + i, Set::load(values + i));
  }

  static void attend(const Attention& task) {
    Softmax state[max_attention_rows];
    for (size_t row = 0; row < task.rows; ++row) clear(task.output + row * task.output_stride, task.head_size);
    const size_t groups = (task.rows + max_rows - 1) / max_rows;
    for (size_t first = 0; first < task.count; first += chunk_keys) {
      float weights[max_attention_rows][chunk_keys];
      const Chunk chunk{first, task.count - first < chunk_keys ? task.count - first : chunk_keys};
      for (size_t group = 0; group < groups; ++group) {
        const size_t begin = task.rows * group / groups;
        const size_t end = task.rows * (group + 1) / groups;
        for (size_t tile = 0; tile < chunk.tiles(); ++tile) {
          score_rows<max_rows>(task, {chunk, tile}, {begin, end - begin}, weights + begin);
        }
        for (size_t row = begin; row < end; ++row) {
          shrink(task.output + row * task.output_stride, task.head_size, state[row].weigh(weights[row], chunk.tiles()));
        }
        add_rows<max_rows>(task, chunk, {begin, end - begin}, weights + begin);
      }
    }
    for (size_t row = 0; row < task.rows; ++row) {
      shrink(task.output + row * task.output_stride, task.head_size, 1 / state[row].sum());
    }
  }

  static void attend_cells(const CellAttention& task) {
    Softmax state;
    clear(task.output, task.head_size);
    for (size_t first = 0; first < task.count; first += tile_keys) {
      const size_t count = task.count - first < tile_keys ? task.count - first : tile_keys;
      float weights[tile_keys];
      for (size_t j = 0; j < count;) j += score_cells<4>(task, {first, count}, j, weights);
      hide_behind(count, weights);
      shrink(task.output, task.head_size, state.weigh(weights, 1));
      for (size_t i = 0; i < task.head_size;) i += add_cells<8>(task, {first, count}, weights, i);
    }
    shrink(task.output, task.head_size, 1 / state.sum());
  }

 private:
  /** Keys that are weighed at once: outputs are read and written once for all of them. */
  struct Chunk {
    size_t first;
    size_t count;

    size_t tiles() const { return (count + tile_keys - 1) / tile_keys; }
  };
  /** A tile of a chunk. */
  struct Tile {
    const Chunk& chunk;
    size_t number;

    size_t first() const { return number * tile_keys; }
    size_t count() const { return chunk.count - first() < tile_keys ? chunk.count - first() : tile_keys; }
  };
  struct Rows {
    size_t first;
    size_t count;
  };

  /** What a row has seen so far. */
  struct Softmax {
    float largest = -INFINITY;
    float totals[tile_keys] = {};  // of each lane

    /**
     * Scores of whole tiles -> their exponentials below the largest so far; the factor by which what was summed up before
     * shrinks.
     */
    float weigh(float* weights, size_t tiles) {
      const float before = largest;
      auto most = Set::broadcast(before);
      for (size_t i = 0; i < tiles * tile_keys; i += Set::lanes) most = Set::maximum(Set::load(weights + i), most);
      largest = Set::largest_of_lanes(most);
      // Nothing is visible yet: the difference of two infinities would be no number.
      const float shift = largest == -INFINITY ? 0.0F : largest;
      // Most tiles hold no larger score than those before.
      const float factor = largest == before ? 1.0F : exponential(before - shift);
      for (float& total : totals) total *= factor;
      for (float* tile = weights; tile < weights + tiles * tile_keys; tile += tile_keys) {
        for (size_t i = 0; i < tile_keys; ++i) tile[i] = exponential(tile[i] - shift);
        for (size_t i = 0; i < tile_keys; ++i) totals[i] += tile[i];
      }
      return factor;
    }

    float sum() const {
      float total = 0;
      for (const float lane : totals) total += lane;
      return total;
    }
  };

  /** e^x for x up to 0: 2^n e^r with |r| up to ln(2) / 2, where Taylor's series to r^7 is exact to single precision. */
  static float exponential(float x) {
    constexpr float log2_e = 1.44269504F;
    constexpr float ln_2_high = 0.693359375F;  // few enough bits that its product with n is exact
    constexpr float ln_2_low = -2.12194440e-4F;
    constexpr float smallest = -87.0F;
    // Bounded, because an infinity is no integer; what is below the bound becomes 0 at the end.
    const float n = std::nearbyintf((x > smallest ? x : smallest) * log2_e);
    const float r = (x - n * ln_2_high) - n * ln_2_low;
    const float end = 1.0F / 120 + r * (1.0F / 720 + r * (1.0F / 5040));
    const float series = 1 + r * (1 + r * (1.0F / 2 + r * (1.0F / 6 + r * (1.0F / 24 + r * end))));
    const uint32_t bits = (static_cast<uint32_t>(static_cast<int32_t>(n)) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof(power));
    return x < smallest ? 0.0F : series * power;
  }

  static void clear(float* output, size_t size) {
    for (size_t i = 0; i < size; ++i) output[i] = 0;
  }

  static void shrink(float* output, size_t size, float factor) {
    if (factor == 1) return;
    for (size_t i = 0; i < size; ++i) output[i] *= factor;
  }

  static void hide_behind(size_t count, float* scores) {
    for (size_t j = count; j < tile_keys; ++j) scores[j] = -INFINITY;
  }

  /** Adds the values of some cells to at most that many vectors of the output from `i` on; the size of the vectors. */
  template <size_t Count>
  static size_t add_cells(const CellAttention& task, const Chunk& cells, const float* weights, size_t i) {
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
    for (size_t i = 0; i < size; i += cache_line / sizeof(uint16_t)) __builtin_prefetch(halves + i);
  }

  /** The scores of at most that many cells from the `begin`th on; how many. */
  template <size_t Count>
  static size_t score_cells(const CellAttention& task, const Chunk& cells, size_t begin, float* scores) {
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
    for (size_t j = 0; j < Count; ++j) scores[begin + j] = Set::sum_of_lanes(sums[j]) + task.bias[first + j];
    return Count;
  }

  static void add_to(float* scores, const float* values, size_t count) {
    if (count == tile_keys) {
      for (size_t i = 0; i < tile_keys; ++i) scores[i] += values[i];
    } else {
      for (size_t i = 0; i < count; ++i) scores[i] += values[i];
    }
  }

  /** The scores of exactly that many rows, all keys of the tile side by side. */
  template <size_t Count>
  static void score_rows(const Attention& task, const Tile& tile, const Rows& rows, float (*weights)[chunk_keys]) {
    if constexpr (Count > 1) {
      if (rows.count < Count) return score_rows<Count - 1>(task, tile, rows, weights);
    }
    Floats sums[Count][vectors];
    for (auto& row : sums) {
      for (auto& sum : row) sum = Set::broadcast(0.0F);
    }
    const float* queries = task.queries + rows.first * task.query_stride;
    const size_t first = tile.chunk.first + tile.first();
    const uint16_t* keys = task.keys + first * task.head_size;
    for (size_t i = 0; i < task.head_size; ++i) {
      Floats key[vectors];
      for (size_t v = 0; v < vectors; ++v) key[v] = Set::load_halves(keys + i * tile_keys + v * Set::lanes);
      for (size_t row = 0; row < Count; ++row) {
        const auto query = Set::broadcast(queries[row * task.query_stride + i]);
        for (size_t v = 0; v < vectors; ++v) sums[row][v] = Set::multiply_add(query, key[v], sums[row][v]);
      }
    }
    for (size_t row = 0; row < Count; ++row) {
      float* scores = weights[row] + tile.first();
      for (size_t v = 0; v < vectors; ++v) Set::store(scores + v * Set::lanes, sums[row][v]);
      if (task.bias != nullptr) {
        const auto offset = static_cast<ptrdiff_t>(rows.first + row) * task.bias_stride;
        add_to(scores, task.bias + offset + static_cast<ptrdiff_t>(first), tile.count());
      }
      if (task.mask != nullptr) add_to(scores, task.mask + first, tile.count());
      hide_behind(tile.count(), scores);
    }
  }

  /** Adds the values of a chunk to the outputs of exactly that many rows. */
  template <size_t Count>
  static void add_rows(const Attention& task, const Chunk& chunk, const Rows& rows, float (*weights)[chunk_keys]) {
    if constexpr (Count > 1) {
      if (rows.count < Count) return add_rows<Count - 1>(task, chunk, rows, weights);
    }
    const auto output = [&](size_t row, size_t at) { return task.output + (rows.first + row) * task.output_stride + at; };
    const uint16_t* values = task.values + chunk.first * task.head_size;
    for (size_t i = 0; i < task.head_size; i += vectors * Set::lanes) {
      Floats sums[Count][vectors];
      for (size_t row = 0; row < Count; ++row) {
        for (size_t v = 0; v < vectors; ++v) sums[row][v] = Set::load(output(row, i + v * Set::lanes));
      }
      for (size_t j = 0; j < chunk.count; ++j) {
        Floats value[vectors];
        for (size_t v = 0; v < vectors; ++v) value[v] = Set::load_halves(values + j * task.head_size + i + v * Set::lanes);
        for (size_t row = 0; row < Count; ++row) {
          const auto weight = Set::broadcast(weights[row][j]);
          for (size_t v = 0; v < vectors; ++v) sums[row][v] = Set::multiply_add(weight, value[v], sums[row][v]);
        }
      }
      for (size_t row = 0; row < Count; ++row) {
        for (size_t v = 0; v < vectors; ++v) Set::store(output(row, i + v * Set::lanes), sums[row][v]);
      }
    }
  }
};

}  // namespace tandem::kernels
