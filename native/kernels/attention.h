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
struct AttentionKernels {
  using Set = InstructionSet;
  using Floats = typename Set::Floats;
  static constexpr size_t vectors = tile_keys / Set::lanes;
  /** Rows whose sums stay in registers beside a vector of keys or values. */
  static constexpr size_t max_rows = 12 / vectors;
  /** Floats from one row's query to the next one's: an odd number of cache lines, which are spread over the first cache. */
  static constexpr size_t query_room = max_head_size + cache_line / sizeof(float);
  /** Keys that are weighed at once: what a row costs beside its products is shared by all of them. */
  static constexpr size_t chunk_keys = 4 * tile_keys;
  /** Cells from which keys are fetched before they are needed: two turns of four. */
  static constexpr size_t cells_ahead = 8;

  static void to_halves(const float* values, size_t count, uint16_t* halves) {
    for (size_t i = 0; i < count; i += Set::lanes) Set::store_halves(halves + i, Set::load(values + i));
  }

  static void to_floats(const uint16_t* halves, size_t count, float* values) {
    size_t i = 0;
    for (; i + Set::lanes <= count; i += Set::lanes) Set::store(values + i, Set::load_halves(halves + i));
    if (i == count) return;
    uint16_t last[Set::lanes] = {};
    float numbers[Set::lanes];
    std::memcpy(last, halves + i, (count - i) * sizeof(uint16_t));
    Set::store(numbers, Set::load_halves(last));
    std::memcpy(values + i, numbers, (count - i) * sizeof(float));
  }

  static void attend(const Attention& task) {
    Softmax state[max_attention_rows];
    // At a distance that the compiler knows: a register for each row would be too many.
    float queries[max_attention_rows][query_room];
    for (size_t row = 0; row < task.rows; ++row) {
      const float* query = task.queries + row * task.query_stride;
      for (size_t i = 0; i < task.head_size; ++i) queries[row][i] = query[i] * task.scale;
    }
    for (size_t row = 0; row < task.rows; ++row) clear(task.output + row * task.output_stride, task.head_size);
    const size_t groups = (task.rows + max_rows - 1) / max_rows;
    for (size_t first = 0; first < task.count; first += chunk_keys) {
      float weights[max_attention_rows][chunk_keys];
      const Chunk chunk{first, task.count - first < chunk_keys ? task.count - first : chunk_keys};
      for (size_t group = 0; group < groups; ++group) {
        const size_t begin = task.rows * group / groups;
        const size_t end = task.rows * (group + 1) / groups;
        score_rows<max_rows>(task, chunk, {begin, end - begin}, queries + begin, weights + begin);
        // One after the other what takes its time in a row, for the processor to compute several rows at once.
        for (size_t row = begin; row < end; ++row) {
          shrink(task.output + row * task.output_stride, task.head_size, state[row].see(weights[row], chunk.tiles()));
        }
        for (size_t row = begin; row < end; ++row) state[row].weigh(weights[row], chunk.tiles());
        add_rows<max_rows>(task, chunk, {begin, end - begin}, weights + begin);
      }
    }
    for (size_t row = 0; row < task.rows; ++row) {
      state[row].finish(task.output + row * task.output_stride, task.head_size, task.log_sums == nullptr ? nullptr : task.log_sums + row);
    }
  }

  static void attend_cells(const CellAttention& task) {
    Softmax state;
    clear(task.output, task.head_size);
    for (size_t first = 0; first < task.count; first += tile_keys) {
      const size_t count = task.count - first < tile_keys ? task.count - first : tile_keys;
      float weights[tile_keys];
      for (size_t j = 0; j < count;) j += score_cells<4>(task, {first, count}, j, weights);
      hide_behind(count, tile_keys, weights);
      shrink(task.output, task.head_size, state.see(weights, 1));
      state.weigh(weights, 1);
      for (size_t i = 0; i < task.head_size;) i += add_cells<8>(task, {first, count}, weights, i);
    }
    state.finish(task.output, task.head_size, task.log_sum);
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
    /** Keys of that many tiles from this one on. */
    size_t count(size_t tiles) const {
      const size_t left = chunk.count - first();
      return left < tiles * tile_keys ? left : tiles * tile_keys;
    }
  };
  struct Rows {
    size_t first;
    size_t count;
  };

  /** What a row has seen so far. */
  struct Softmax {
    float largest = -INFINITY;
    float totals[tile_keys] = {};  // of each lane

    /** Sees scores of whole tiles; the factor by which what was summed up before shrinks. */
    float see(const float* scores, size_t tiles) {
      const float before = largest;
      auto most = Set::broadcast(before);
      for (size_t i = 0; i < tiles * tile_keys; i += Set::lanes) most = Set::maximum(Set::load(scores + i), most);
      largest = Set::largest_of_lanes(most);
      // Most tiles hold no larger score than those before.
      if (largest == before) return 1;
      const float factor = exponential(before - shift());
      for (float& total : totals) total *= factor;
      return factor;
    }

    /** Scores that were seen -> their exponentials below the largest of all. */
    void weigh(float* weights, size_t tiles) {
      const float shift = this->shift();
      Floats sums[vectors];
      for (size_t v = 0; v < vectors; ++v) sums[v] = Set::load(totals + v * Set::lanes);
      for (float* tile = weights; tile < weights + tiles * tile_keys; tile += tile_keys) {
        for (size_t i = 0; i < tile_keys; ++i) tile[i] = exponential(tile[i] - shift);
        // By vectors: gcc would keep each total in a register of its own.
        for (size_t v = 0; v < vectors; ++v) {
          sums[v] = Set::multiply_add(Set::load(tile + v * Set::lanes), Set::broadcast(1.0F), sums[v]);
        }
      }
      for (size_t v = 0; v < vectors; ++v) Set::store(totals + v * Set::lanes, sums[v]);
    }

    /** Nothing may be visible yet: the difference of two infinities would be no number. */
    float shift() const { return largest == -INFINITY ? 0.0F : largest; }

    /** Sums -> means; 0 where nothing is visible. */
    void finish(float* output, size_t size, float* log_sum) const {
      float total = 0;
      for (const float lane : totals) total += lane;
      shrink(output, size, total == 0 ? 0.0F : 1 / total);
      if (log_sum != nullptr) *log_sum = total == 0 ? -INFINITY : largest + std::log(total);
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

  /** Scores -> softcap * tanh(score / softcap), whose e^-x is below 1. */
  static void cap(float* scores, size_t count, float softcap) {
    for (size_t i = 0; i < count; ++i) {
      const float power = exponential(-2 * std::fabs(scores[i]) / softcap);
      scores[i] = std::copysign(softcap * (1 - power) / (1 + power), scores[i]);
    }
  }

  static void clear(float* output, size_t size) {
    for (size_t i = 0; i < size; ++i) output[i] = 0;
  }

  static void shrink(float* output, size_t size, float factor) {
    if (factor == 1) return;
    for (size_t i = 0; i < size; ++i) output[i] *= factor;
  }

  static void hide_behind(size_t count, size_t size, float* scores) {
    for (size_t j = count; j < size; ++j) scores[j] = -INFINITY;
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
    for (size_t i = 0; i < size; i += cache_line / sizeof(uint16_t)) __builtin_prefetch(halves + i, 0, 2);
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
    for (size_t j = 0; j < Count; ++j) scores[begin + j] = Set::sum_of_lanes(sums[j]) * task.scale;
    if (task.softcap != 0) cap(scores + begin, Count, task.softcap);
    for (size_t j = 0; j < Count; ++j) scores[begin + j] += task.bias[first + j];
    return Count;
  }

  template <size_t Tiles>
  static void add_to(float* scores, const float* values, size_t count) {
    if (count == Tiles * tile_keys) {
      for (size_t i = 0; i < Tiles * tile_keys; ++i) scores[i] += values[i];
    } else {
      for (size_t i = 0; i < count; ++i) scores[i] += values[i];
    }
  }

  /**
   * Rows are computed with so many tiles or vectors at once. Eight sums hide the latency of a multiplication; where there are
   * registers for 24, what is read for a row then serves several vectors, what is read for a vector several rows.
   */
  static constexpr size_t side_by_side(size_t rows) {
    constexpr size_t most_sums = Set::lanes == 16 ? 24 : 8;
    size_t count = 4;
    while (count > 1 && rows * count * vectors > most_sums) count /= 2;
    return count;
  }

  /** The scores of exactly that many rows. */
  template <size_t Count>
  static void score_rows(const Attention& task, const Chunk& chunk, const Rows& rows, const float (*queries)[query_room],
                         float (*weights)[chunk_keys]) {
    if constexpr (Count > 1) {
      if (rows.count < Count) return score_rows<Count - 1>(task, chunk, rows, queries, weights);
    }
    for (size_t tile = 0; tile < chunk.tiles();) {
      tile += score_tiles<Count, side_by_side(Count)>(task, {chunk, tile}, rows, queries, weights);
    }
  }

  /** The scores of at most that many tiles, all keys of a tile side by side; how many. */
  template <size_t Count, size_t Tiles>
  static size_t score_tiles(const Attention& task, const Tile& tile, const Rows& rows, const float (*queries)[query_room],
                            float (*weights)[chunk_keys]) {
    if constexpr (Tiles > 1) {
      if (tile.chunk.tiles() - tile.number < Tiles) {
        return score_tiles<Count, Tiles / 2>(task, tile, rows, queries, weights);
      }
    }
    const uint16_t* keys = task.keys + (tile.chunk.first + tile.first()) * task.head_size;
    const size_t tile_halves = tile_keys * task.head_size;
    Floats sums[Count][Tiles * vectors];
    for (auto& row : sums) {
      for (auto& sum : row) sum = Set::broadcast(0.0F);
    }
    const auto add = [&](size_t i) {
      Floats key[Tiles * vectors];
      for (size_t v = 0; v < Tiles * vectors; ++v) {
        key[v] = Set::load_halves(keys + v / vectors * tile_halves + i * tile_keys + v % vectors * Set::lanes);
      }
      for (size_t row = 0; row < Count; ++row) {
        const auto query = Set::broadcast(queries[row][i]);
        for (size_t v = 0; v < Tiles * vectors; ++v) sums[row][v] = Set::multiply_add(query, key[v], sums[row][v]);
      }
    };
    const uint16_t* values = task.values + (keys - task.keys);
    const size_t head_size = task.head_size;
    const bool fetches = rows.first == 0;
    for (size_t i = 0; i < head_size; i += 2) {
      // The first rows fetch for all: the values of these keys, and the keys of the next chunk or head.
      for (size_t t = 0; t < Tiles && fetches; ++t) {
        __builtin_prefetch(values + t * tile_halves + i * tile_keys, 0, 2);
        __builtin_prefetch(keys + (t + chunk_keys / tile_keys) * tile_halves + i * tile_keys, 0, 2);
      }
      add(i);
      add(i + 1);
    }
    const size_t first = tile.chunk.first + tile.first();
    const size_t count = tile.count(Tiles);
    for (size_t row = 0; row < Count; ++row) {
      for (size_t v = 0; v < Tiles * vectors; ++v) Set::store(weights[row] + tile.first() + v * Set::lanes, sums[row][v]);
    }
    for (size_t row = 0; row < Count; ++row) {
      float* scores = weights[row] + tile.first();
      if (task.softcap != 0) cap(scores, Tiles * tile_keys, task.softcap);
      if (task.bias != nullptr) {
        const auto offset = static_cast<ptrdiff_t>(rows.first + row) * task.bias_stride;
        add_to<Tiles>(scores, task.bias + offset + static_cast<ptrdiff_t>(first), count);
      }
      if (task.mask != nullptr) add_to<Tiles>(scores, task.mask + first, count);
      hide_behind(count, Tiles * tile_keys, scores);
    }
    return Tiles;
  }

  /** Adds the values of a chunk to the outputs of exactly that many rows. */
  template <size_t Count>
  static void add_rows(const Attention& task, const Chunk& chunk, const Rows& rows, float (*weights)[chunk_keys]) {
    if constexpr (Count > 1) {
      if (rows.count < Count) return add_rows<Count - 1>(task, chunk, rows, weights);
    }
    for (size_t i = 0; i < task.head_size;) {
      i += add_values<Count, side_by_side(Count) * vectors>(task, chunk, rows, weights, i);
    }
  }

  /** The same to at most that many vectors of the outputs from `i` on; the size of the vectors. */
  template <size_t Count, size_t Width>
  static size_t add_values(const Attention& task, const Chunk& chunk, const Rows& rows,
                           const float (*weights)[chunk_keys], size_t i) {
    if constexpr (Width > vectors) {
      if (task.head_size - i < Width * Set::lanes) return add_values<Count, Width / 2>(task, chunk, rows, weights, i);
    }
    float* outputs = task.output + rows.first * task.output_stride + i;
    const uint16_t* values = task.values + chunk.first * task.head_size + i;
    Floats sums[Count][Width];
    for (size_t row = 0; row < Count; ++row) {
      for (size_t v = 0; v < Width; ++v) sums[row][v] = Set::load(outputs + row * task.output_stride + v * Set::lanes);
    }
    for (size_t j = 0; j < chunk.count; ++j) {
      Floats value[Width];
      for (size_t v = 0; v < Width; ++v) value[v] = Set::load_halves(values + j * task.head_size + v * Set::lanes);
      for (size_t row = 0; row < Count; ++row) {
        const auto weight = Set::broadcast(weights[row][j]);
        for (size_t v = 0; v < Width; ++v) sums[row][v] = Set::multiply_add(weight, value[v], sums[row][v]);
      }
    }
    for (size_t row = 0; row < Count; ++row) {
      for (size_t v = 0; v < Width; ++v) Set::store(outputs + row * task.output_stride + v * Set::lanes, sums[row][v]);
    }
    return Width * Set::lanes;
  }
};

}  // namespace tandem::kernels
