#pragma once
#include "kernels/online_softmax.h"

// As packed_product.h: compiled for each instruction set, so nothing in here may be shared with other files.
namespace tandem::kernels {

/**
 * Attention of several rows in one pass over the keys: these and the values are read a few tiles at a time, and there is no
 * table of scores. For `InstructionSet` as in online_softmax.h.
 */
template <typename InstructionSet>
struct AttentionKernel {
  using Set = InstructionSet;
  using Floats = typename Set::Floats;
  using Softmax = OnlineSoftmax<Set>;
  static constexpr size_t vectors = tile_keys / Set::lanes;
  /** Rows whose sums stay in registers beside a vector of keys or values. */
  static constexpr size_t max_rows = 12 / vectors;
  /** Floats from one row's query to the next one's: an odd number of cache lines, which are spread over the first cache. */
  static constexpr size_t query_room = max_head_size + cache_line / sizeof(float);
  /** Keys that are weighed at once: what a row costs beside its products is shared by all of them. */
  static constexpr size_t chunk_keys = 4 * tile_keys;

  static void attend(const Attention& task) {
    Softmax state[max_attention_rows];
    // At a distance that the compiler knows: a register for each row would be too many.
    float queries[max_attention_rows][query_room];
    for (size_t row = 0; row < task.rows; ++row) {
      const float* query = task.queries + row * task.query_stride;
      for (size_t i = 0; i < task.head_size; ++i) queries[row][i] = query[i] * task.scale;
    }
    for (size_t row = 0; row < task.rows; ++row) Softmax::clear(task.output + row * task.output_stride, task.head_size);
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
          Softmax::shrink(task.output + row * task.output_stride, task.head_size, state[row].see(weights[row], chunk.tiles()));
        }
        for (size_t row = begin; row < end; ++row) state[row].weigh(weights[row], chunk.tiles());
        add_rows<max_rows>(task, chunk, {begin, end - begin}, weights + begin);
      }
    }
    for (size_t row = 0; row < task.rows; ++row) {
      float* log_sum = task.log_sums == nullptr ? nullptr : task.log_sums + row;
      state[row].finish(task.output + row * task.output_stride, task.head_size, log_sum);
    }
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
      if (task.softcap != 0) Softmax::cap(scores, Tiles * tile_keys, task.softcap);
      if (task.bias != nullptr) {
        const auto offset = static_cast<ptrdiff_t>(rows.first + row) * task.bias_stride;
        add_to<Tiles>(scores, task.bias + offset + static_cast<ptrdiff_t>(first), count);
      }
      if (task.mask != nullptr) add_to<Tiles>(scores, task.mask + first, count);
      Softmax::hide_behind(count, Tiles * tile_keys, scores);
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
